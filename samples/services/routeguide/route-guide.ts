import {type Implementation, type ImplementOptions, implement} from '../../../local/grpc/implement.ts'
import {type Point, type Rectangle, RouteGuide, type RouteNote} from '../../gen/routeguide/route_guide_pb.js'
import {distanceBetween} from './distance.ts'
import {featureAt, features, placeOf} from './features.ts'

/** Limit for stored notes, of all places together. The oldest ones are dropped. */
const maxNotes = 1000

/** The RouteGuide service of the gRPC basics tutorial. Each server keeps its own notes. */
export const routeGuide = {
  implement: (options: ImplementOptions): Implementation => {
    const notes: RouteNote[] = []
    return implement(
      RouteGuide,
      {
        getFeature: (point) => featureAt(point) ?? {location: point},
        async *listFeatures(rectangle) {
          yield* features.filter(({location}) => location && isWithin(rectangle, location))
        },
        recordRoute: summaryOf,
        async *routeChat(messages) {
          for await (const note of messages) {
            const place = placeOf(note.location)
            // A copy, because other callers may add notes while these are sent.
            const earlier = notes.filter(({location}) => placeOf(location) === place)
            notes.push(note)
            if (notes.length > maxNotes) notes.shift()
            yield* earlier
          }
        },
      },
      options,
    )
  },
}

async function summaryOf(points: AsyncIterable<Point>) {
  let [pointCount, featureCount, distance] = [0, 0, 0]
  let began: number | undefined
  let previous: Point | undefined
  for await (const point of points) {
    began ??= performance.now()
    pointCount++
    if (featureAt(point)) featureCount++
    if (previous) distance += distanceBetween(previous, point)
    previous = point
  }
  const elapsedTime = began === undefined ? 0 : Math.floor((performance.now() - began) / 1000)
  return {pointCount, featureCount, distance: Math.min(Math.round(distance), 2 ** 31 - 1), elapsedTime}
}

/** Whether `point` lies within, or on an edge; either corner may be the lower one. */
function isWithin({lo, hi}: Rectangle, {latitude, longitude}: Point): boolean {
  return isBetween(latitude, lo?.latitude, hi?.latitude) && isBetween(longitude, lo?.longitude, hi?.longitude)
}

function isBetween(value: number, one = 0, other = 0): boolean {
  return value >= Math.min(one, other) && value <= Math.max(one, other)
}
