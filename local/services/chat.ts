import {ChatService} from '../../src/gen/chat/chat_pb.js'
import {type Implementation, type ImplementOptions, implement} from '../grpc/implement.ts'

/** The Chat service: it listens, and says so. */
export const chat = {
  implement: (options: ImplementOptions): Implementation =>
    implement(
      ChatService,
      {
        async *bidirectionalChat(messages) {
          for await (const {content} of messages) yield {reply: `You said: ${content}`}
        },
      },
      options,
    ),
}
