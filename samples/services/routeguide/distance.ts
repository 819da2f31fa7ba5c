import type {Point} from '../../gen/routeguide/route_guide_pb.js'

/** Mean radius of the earth, in metres. */
const radius = 6_371_000

/** Metres along the great circle between two points, by the haversine formula. */
export function distanceBetween(from: Point, to: Point): number {
  const [north, otherNorth] = [radians(from.latitude), radians(to.latitude)]
  const acrossNorth = Math.sin((otherNorth - north) / 2) ** 2
  const acrossEast = Math.sin((radians(to.longitude) - radians(from.longitude)) / 2) ** 2
  const haversine = acrossNorth + Math.cos(north) * Math.cos(otherNorth) * acrossEast
  // For antipodes, rounding may give a value above 1.
  return 2 * radius * Math.asin(Math.min(1, Math.sqrt(haversine)))
}

function radians(e7: number): number {
  return ((e7 / 1e7) * Math.PI) / 180
}
