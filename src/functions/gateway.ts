export {gateway, leavePaths} from '../gateway/gateway.ts'
