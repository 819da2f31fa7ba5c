import {service} from '../../local/grpc/service.ts'
import {ChatService} from '../gen/chat/chat_pb.js'

/** The Chat service. It repeats each message. */
export const chat = service(ChatService, {
  async *bidirectionalChat(messages) {
    for await (const {content} of messages) yield {reply: `You said: ${content}`}
  },
})
