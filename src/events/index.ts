/** Event functions, and the type of Storage events. */
export {type StorageObjectData, StorageObjectDataSchema} from '../gen/google/events/cloud/storage/v1/data_pb.js'
export {
  type CloudEvent,
  type EventHandler,
  type EventOptions,
  type PubsubMessage,
  serveEvent,
} from './serve-event.ts'
