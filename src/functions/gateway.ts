export {gateway} from '../gateway/gateway.ts'
