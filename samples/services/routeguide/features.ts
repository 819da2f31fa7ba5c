import {create, type MessageInitShape} from '@bufbuild/protobuf'
import {type Feature, FeatureSchema, type Point} from '../../gen/routeguide/route_guide_pb.js'

type Location = MessageInitShape<typeof FeatureSchema>['location']

/** Every feature that the service knows, by its degrees north and east. */
const places: readonly (readonly [name: string, north: number, east: number])[] = [
  ['Brandenburg Gate, Berlin', 52.5162746, 13.3777041],
  ['Charles Bridge, Prague', 50.0864771, 14.4114366],
  ['Eiffel Tower, Paris', 48.8583701, 2.2944813],
  ['Tower Bridge, London', 51.5054564, -0.0753565],
  ['Belém Tower, Lisbon', 38.6915837, -9.2159771],
  ['Colosseum, Rome', 41.8902102, 12.4922309],
  ['Parthenon, Athens', 37.9715323, 23.7267166],
  ['Golden Gate Bridge, San Francisco', 37.8199286, -122.4782551],
  // The point that the tutorial's own clients ask for.
  ['Berkshire Valley Management Area Trail, Jefferson, NJ', 40.9146138, -74.6188906],
  ['Brooklyn Bridge, New York', 40.7060855, -73.9968643],
  ['Christ the Redeemer, Rio de Janeiro', -22.951916, -43.2104872],
  ['Opera House, Sydney', -33.8567844, 151.2152967],
  ['Sky Tower, Auckland', -36.8484437, 174.7621695],
  ['Tokyo Tower, Tokyo', 35.6585805, 139.7454329],
]

/** Every feature that the service knows. */
export const features: readonly Feature[] = places.map(([name, north, east]) =>
  create(FeatureSchema, {name, location: {latitude: Math.round(north * 1e7), longitude: Math.round(east * 1e7)}}),
)

const byPlace = new Map(features.map((feature) => [placeOf(feature.location), feature]))

/** The feature at `point`, if there is one. */
export function featureAt(point: Location): Feature | undefined {
  return byPlace.get(placeOf(point))
}

/** A key that is the same for equal points. A missing point counts as 0, 0. */
export function placeOf({latitude = 0, longitude = 0}: Partial<Point> = {}): string {
  return `${latitude} ${longitude}`
}
