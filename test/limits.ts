const KiB = 1024
const MiB = 1024 * KiB
const second = 1000
const minute = 60 * second

/** A limit's value, and what depends on it. */
export type Limit = readonly [value: number, why: string]

/**
 * All constants of time, size or number in src, by file and name, or by text if they have no name. Each is a promise: if you
 * change one, change it here too, and check whether the reason still holds. Times are in ms unless the reason has another unit.
 */
export const limits: Readonly<Record<string, Readonly<Record<string, Limit>>>> = {
  'auth/api-keys.ts': {maxAge: [minute, 'a withdrawn key is refused after it, even if the mount hides the change']},
  'auth/get-json.ts': {
    maxBytes: [256 * KiB, 'bytes: a longer answer of an issuer is refused; at most 1 MB would be acceptable'],
  },
  'auth/key-set.ts': {
    coolDown: [30 * second, 'unknown key ids cause no more than one fetch in this time'],
    kept: [1440, 'minutes: known keys are used for a day while the issuer is unavailable'],
    minute: [minute, 'a unit'],
    patience: [second, 'a request with an unknown key id waits no longer'],
    timeout: [5 * second, 'for one answer of an issuer'],
  },
  'auth/token.ts': {
    maxDepth: [16, 'deeper tokens are 401'],
    maxLength: [8 * KiB, 'longer tokens are 401'],
  },
  'auth/tokens.ts': {
    believed: [5 * minute, 'a withdrawn signing key is noticed after it'],
    maxRemembered: [2 * MiB, 'memory for verified tokens, in characters'],
    skew: [60, 'seconds between the clocks of issuer and instance'],
  },
  'auth/webhooks.ts': {tolerance: [300, 'seconds: the age of a signature, as senders document it']},
  'clients/storage/backoff.ts': {
    firstPause: [100, 'the first pause before a retry of Storage, minus up to half'],
    longestPause: [5 * second, 'the longest pause'],
    maxFailures: [6, 'failed attempts in a row'],
  },
  'clients/calls/batch.ts': {
    batchSize: [32 * KiB, 'bytes in one write'],
    batchTime: [5, 'other requests wait no longer for their turn'],
  },
  'clients/connections/connecting.ts': {
    'grpc.per_rpc_retry_buffer_size': [
      64 * KiB,
      'less than a chunk of an upload: its buffer is reused, so it must not be resent',
    ],
    mostReceived: [32 * MiB, 'the largest response of Cloud Run without streaming'],
  },
  'clients/connections/connection.ts': {
    150: [150, 'the shortest wait for a PING before a new connection is opened'],
    400: [400, 'the longest wait for it'],
    certain: [50, 'for this long after its last byte, a connection counts as alive'],
    doubtful: [4 * minute, 'after a longer silence, a new connection is opened together with the PING'],
    lastPatience: [2 * second, 'then a silent connection is given up, with its calls'],
    likely: [100, 'after a longer silence, the peer gets a PING: test/functions/freeze.test.ts'],
    mostStreams: [2 ** 20, 'streams: stands for an unlimited number'],
    pingsWithoutData: [2, 'servers accept two PINGs without data'],
    silenceInCall: [5 * second, 'during calls in flight, the peer gets a PING after it'],
    usualCap: [100, 'streams on a connection before its settings have arrived'],
  },
  'clients/identity/credentials.ts': {attempt: [10 * second, 'for one attempt to get a token']},
  'clients/connections/grpc-internals.ts': {prefixSize: [5, 'gRPC: a flag and a length of four bytes']},
  'clients/identity/id-tokens.ts': {
    patience: [2 * second, 'test/clients/token-patience.test.ts'],
    patienceOfOthers: [second, 'test/clients/token-patience.test.ts'],
    pauseAfterFailure: [10 * second, 'test/clients/token-patience.test.ts'],
    refreshBefore: [5 * minute, 'test/clients/token-patience.test.ts'],
  },
  'clients/identity/metadata-server.ts': {
    attempt: [3 * second, 'for one answer of the metadata server: three of them in the time of a request'],
    firstPause: [50, 'before the second attempt to get a token, doubled before the third'],
    maxAnswer: [64 * KiB, 'bytes of an answer: a token has a few thousand'],
    mostAttempts: [3, 'test/clients/id-tokens.test.ts'],
  },
  'clients/connections/pool.ts': {
    25: [25, 'the first pause after a failed attempt to connect'],
    400: [400, 'and the longest'],
    grace: [2500, 'calls wait this long for a backend that was reachable before'],
    longestTimer: [2 ** 31, 'the limit of setTimeout; one less is used'],
    mostConnections: [50, 'connections to one backend'],
    probePause: [5 * second, 'a backend that is back is found within it'],
    tolerance: [5, 'between clock and timers'],
    unaryConnections: [5, 'connections that streams leave to unary calls'],
  },
  'clients/connections/probe.ts': {
    kept: [30 * second, 'a hint about a dead port is kept this long'],
    patience: [500, 'an error waits no longer for its hint'],
  },
  'clients/reflection.ts': {
    atOnce: [16, 'services whose files one call requests'],
    maxBytes: [64 * MiB, 'the files of one backend'],
  },
  'clients/calls/retries.ts': {
    firstPause: [25, 'the first pause; each further one is twice as long'],
    mostAttempts: [6, 'attempts of one call'],
  },
  'clients/calls/retry-budget.ts': {
    mostTokens: [10, 'gRFC A6: retries of all calls together'],
    tokensOfSuccess: [0.1, 'gRFC A6'],
  },
  'clients/service-client.ts': {
    defaultTimeout: [30 * second, 'only unary calls: streams and uploads have the deadline of their request'],
  },
  'clients/status.ts': {clockSkew: [50, 'a reset so close to the deadline is 504']},
  'clients/storage/connections.ts': {
    longestIdle: [second, 'a connection that may have died in a frozen instance is not used again'],
    mostIdle: [8, 'connections to Storage that are kept open after a burst'],
  },
  'clients/storage/receiver.ts': {
    bodyBuffer: [256 * KiB, 'bytes: as large as a chunk of an upload; a few of them for each large body'],
    headBuffer: [16 * KiB, 'bytes for each connection to Storage that is kept'],
    leastDirect: [KiB * KiB, 'bytes: more than came with the head; below it a new connection costs more than is saved'],
  },
  'clients/storage/request.ts': {
    443: [443, 'the port of https'],
    80: [80, 'the port of http'],
    mostName: [1024, 'bytes: the longest object name that Storage takes'],
    mostSaid: [1000, 'characters of an error text of Storage in the log'],
    mostText: [64 * KiB, 'bytes of a response of Storage that are read, except for content'],
  },
  'core/contract.ts': {optionNumber: [73951, 'the extension number of (grpc_functions.auth)']},
  'core/config.ts': {
    '8 * 1024 * 1024': [8 * MiB, 'GATEWAY_MAX_DECODING_BYTES on the smallest instance'],
  },
  'core/fault.ts': {maxMessage: [4096, 'characters: a message may quote callers and backends']},
  'core/log-line.ts': {
    256: [256, 'characters of each string if 4096 are too many'],
    4096: [4096, 'characters of each string of a record that is too long'],
    maxLine: [32 * KiB, 'Cloud Logging takes 256 KiB; a third of that at three bytes a character, and escapes'],
  },
  'core/telemetry/open-telemetry.ts': {
    443: [443, 'the port of https'],
    80: [80, 'the port of http'],
  },
  'core/settings.ts': {
    '1e6': [1e6, 'counts beyond it are a mistake'],
    '1e9': [1e9, 'bytes beyond it are a mistake'],
    3600: [3600, 'seconds: Cloud Run has no longer timeout'],
    65536: [65536, 'the first number that is no port'],
    '86_400_000': [24 * 60 * minute, 'rate limit windows beyond a day are a mistake'],
    gibibyte: [2 ** 30, 'a unit'],
    h: [60 * minute, 'a unit'],
    m: [minute, 'a unit'],
    s: [second, 'a unit'],
  },
  'core/shortened.ts': {most: [200, "characters of a caller's text that are quoted"]},
  'core/source-places.ts': {
    most: [1000, 'places of a bundle that are remembered'],
    mostFrames: [100, 'lines of a stack that are read, from its end'],
  },
  'events/serve-event.ts': {duplicateRetryAfter: [10, 'seconds: the least pause of Pub/Sub']},
  'framework/connections.ts': {
    linger: [2 * second, 'time for a caller to read the last answer'],
    longestIdle: [620 * second, "idle connections of callers outlive those of Google's load balancers, 600 s"],
  },
  'framework/raw-requests.ts': {
    longestTimeout: [60 * minute, 'server.requestTimeout: an upload may take as long as the platform allows'],
  },
  'framework/shutdown.ts': {
    abortGrace: [800, 'see the sum below'],
    closing: [second, 'see the sum below'],
    crashed: [16, "the framework's exit code"],
    longestArrival: [4 * second, 'part of patience: new connections arrive no later'],
    patience: [7 * second, 'see the sum below'],
    quietTurns: [3, 'of the event loop: accept, read, and one more'],
  },
  'framework/small-pieces.ts': {
    few: [16, 'chunks of a body that are not merged'],
    mergedSize: [4096, 'bytes of a merged chunk'],
    small: [512, 'bytes: larger chunks are not merged'],
  },
  'framework/unreadable.ts': {maxIgnored: [MiB, 'bytes that are read after malformed HTTP']},
  'functions/finalized.ts': {maxBytes: [2 ** 31, 'as in upload']},
  'functions/health.ts': {patience: [4500, 'health is answered within five seconds']},
  'functions/upload-session.ts': {maxBytes: [2 ** 31, 'as in upload']},
  'functions/upload.ts': {maxBytes: [2 ** 31, 'one more than the int32 in the reply can hold; one less is accepted']},
  'gateway/answers.ts': {afterHeader: [5, 'the head is sent within 20 after the metadata']},
  'gateway/exposure.ts': {most: [200, 'names in one record']},
  'gateway/gateway.ts': {recursionLimit: [500, 'the levels of a message that are written and read']},
  'gateway/mcp/failure.ts': {
    32000: [32000, "negative: JSON-RPC's code of a server's own error"],
    32600: [32600, 'negative: of an invalid request'],
    32603: [32603, 'negative: of an internal error'],
    32700: [32700, 'negative: of malformed JSON'],
  },
  'gateway/mcp/selection.ts': {
    optionNumber: [73952, 'the extension number of (grpc_functions.tool)'],
    31: [31, 'a prime: long names are hashed with it'],
    maxName: [64, 'characters: clients refuse longer tool names'],
  },
  'gateway/mcp/server.ts': {maxResult: [MiB, 'characters of JSON of a stream in one result: a model reads no more']},
  'gateway/read-requests.ts': {
    largeBody: [8 * KiB, 'larger bodies wait for their turn to be decoded'],
    maxKept: [16 * KiB, 'bytes of messages that arrived together, up to which they are kept for a retry of the call'],
  },
  'gateway/reflected.ts': {
    patience: [5 * second, 'for each reflection call of a backend'],
    pause: [10 * second, 'a schema that seems to be outdated is fetched no more often'],
  },
  'gateway/rpc/requests.ts': {maxSlice: [16 * KiB, 'bytes that are decoded before other requests get their turn']},
  'gateway/validation.ts': {
    maxReason: [63, 'characters of a reason, as in error_details.proto'],
    optionNumber: [1159, 'the number of the options of protovalidate'],
  },
  'gateway/schema.ts': {most: [50, 'names in one message']},
  'http/admission.ts': {
    leastSpeed: [16, 'bytes per ms: slower bodies give way if there is no room'],
    patience: [5 * second, 'the speed of a body counts after it'],
    retryAfter: [1, 'seconds in Retry-After'],
  },
  'http/request/body.ts': {
    defaultLimit: [MiB, 'bytes of a buffered body'],
    blockSize: [4096, 'bytes of a block that small pieces are copied into'],
    maxDiscarded: [MiB, 'bytes of an unread body that are dropped; beyond it the connection ends'],
  },
  'http/response/compress.ts': {worthIt: [1024, 'bytes: shorter answers are not compressed']},
  'http/request/cors.ts': {
    remembered: [3600, 'seconds: then browsers send another preflight, or after their own maximum'],
  },
  'http/request/deadline.ts': {
    H: [60 * minute, 'a unit of grpc-timeout'],
    M: [minute, 'a unit of grpc-timeout'],
    S: [second, 'a unit of grpc-timeout'],
  },
  'http/response/failure.ts': {maxDetails: [32 * KiB, 'bytes of details: proxies accept no larger heads']},
  'http/record/logged-url.ts': {
    giveaway: [16, 'characters that count as a quote'],
    leastValue: [4, 'characters: shorter values are not secrets'],
    mostName: [100, 'characters of a parameter name in the log'],
    mostParameters: [256, 'parameters in the log'],
    mostPath: [1024, 'characters of a path in the log'],
    mostQuery: [1024, 'characters of a query in the log'],
  },
  'http/request/multipart.ts': {
    maxFormParts: [1000, 'beyond it: 413'],
    sliceSize: [16 * KiB, 'bytes that are parsed before others get their turn'],
  },
  'http/rate-limit.ts': {maxCallers: [10_000, 'callers whose rates are remembered']},
  'http/record/record.ts': {maxText: [1024, 'characters of one text in a record']},
  'http/response/reply.ts': {599: [599, 'the last status of HTTP']},
  'http/record/flushing.ts': {
    patience: [second, 'a flush that hangs delays a caller no longer'],
    latePatience: [250, 'together with abortGrace less than timeToAnswer: the 504 is still sent in time'],
    pause: [10 * second, 'as long as an OTLP exporter tries'],
  },
  'http/response/responder.ts': {minReadTime: [500, 'time for a caller to read what is sent after its deadline']},
  'http/response/send.ts': {shortText: [4096, 'characters of a text that is sent together with the head']},
  'http/serve.ts': {
    abortGrace: [500, 'half of timeToAnswer: the 504 is still sent in time'],
    maxNotedCalls: [50, 'calls in a log record, so that it stays below its limit'],
    storePatience: [500, 'a store that hangs delays a request no longer, and no request is refused'],
    timeToAnswer: [second, 'we, not Cloud Run, send the 504'],
  },
  'http/response/web-socket.ts': {
    linger: [2 * second, 'time for a caller to answer a close frame'],
    maxQueuedBytes: [64 * KiB, 'bytes of frames that wait for the service'],
    maxQueuedFrames: [16, 'frames that wait for the service'],
    ownCloseCodes: [4000, 'RFC 6455, section 7.4.2: the first code for applications'],
  },
  'transcoding/conventions/read-mask.ts': {maxSteps: [1000, 'names in a mask']},
  'transcoding/conventions/routing-header.ts': {
    maxLength: [4096, 'characters: some servers take 8 KiB of metadata in all'],
  },
  'transcoding/rules/routing-rule.ts': {
    parameterField: [1, 'a number of routing.proto'],
    parameterTemplate: [2, 'a number of routing.proto'],
    routingOption: [72295729, 'a number of routing.proto'],
    routingParameters: [2, 'a number of routing.proto'],
  },
  'transcoding/fields/well-known.ts': {
    28: [28, 'days of a month'],
    29: [29, 'days of a month'],
    30: [30, 'days of a month'],
    31: [31, 'days of a month'],
  },
  'transcoding/json/fit.ts': {
    maxAnys: [5, 'levels of Any in Any'],
  },
  'transcoding/json/message.ts': {recursionLimit: [500, 'the levels of a message that are written and read']},
  'transcoding/json/no-body.ts': {maxBytes: [1024, 'bytes of space that count as no body']},
  'transcoding/json/splitter.ts': {
    256: [256, 'values of a byte'],
    1024: [1024, 'bytes of the first buffer'],
    maxBytes: [MiB, 'bytes of one value of a stream'],
    mostKept: [4096, 'bytes of a buffer that is kept'],
  },
  'transcoding/json/text.ts': {
    20: [20, 'digits of the longest integer'],
    maxNesting: [100, 'levels of JSON, as in protobuf'],
  },
  'transcoding/message-stream.ts': {maxSlice: [16 * KiB, 'bytes that are parsed before others get their turn']},
  'transcoding/openapi/fields.ts': {
    most: [300, 'query parameters of a method in the document; with more there are fewer levels'],
  },
  'transcoding/openapi/values.ts': {
    mostFloat: [3.4028234663852886e38, 'the largest float'],
    mostSeconds: [315_576_000_000, 'google.protobuf.Duration'],
  },
  'transcoding/requests.ts': {maxStreamQuery: [4096, 'characters: they are read again for each message']},
  'transcoding/rpc/base64-body.ts': {quantum: [4, 'characters of base64 that stand for three bytes']},
  'transcoding/rpc/errors.ts': {maxDetails: [32 * KiB, 'bytes of details, as for REST']},
  'transcoding/rpc/frames.ts': {
    minGrowth: [4 * KiB, 'bytes: the first buffer of a message that has only begun to arrive'],
    prefixSize: [5, 'bytes before each message, in gRPC and Connect'],
  },
  'transcoding/checks/checks.ts': {maxViolations: [100, 'violations in one error']},
  'transcoding/checks/field-behavior.ts': {
    optionNumber: [1052, 'the number of google.api.field_behavior'],
    outputOnlyNumber: [3, 'OUTPUT_ONLY'],
    requiredNumber: [2, 'REQUIRED'],
  },
  'transcoding/rpc/wire-check.ts': {maxVarint: [10, 'bytes, as protobuf has it']},
  'transcoding/rules/rules.ts': {
    bodyNumber: [7, 'the number of body in google.api.HttpRule'],
    responseBodyNumber: [12, 'the number of response_body in google.api.HttpRule'],
  },
  'transcoding/schema/outline.ts': {
    17: [17, 'the number of proto3_optional in descriptor.proto'],
    jsonOption: [998, 'the number of the option (pb.enumvalue.json)'],
    maxLevel: [50, 'nested messages: deeper ones are decoded at once, which accepts 100 levels in all'],
  },
  'transcoding/schema/wire-reader.ts': {
    17: [17, 'the number of retention in FieldOptions'],
    33: [33, 'the number of deprecated in MethodOptions'],
    34: [34, 'the number of idempotency_level in MethodOptions'],
    256: [256, 'the values of a byte'],
    firstExtension: [1000, 'the numbers of options from here on are those of extensions, by descriptor.proto'],
    maxTag: [5, 'bytes, as protobuf has it'],
    maxVarint: [10, 'bytes, as protobuf has it'],
    numberLimit: [2 ** 31, 'sets with larger numbers are decoded at once'],
  },
  'transcoding/update-mask.ts': {maxLength: [256 * KiB, 'characters of a mask']},
  'transcoding/value-count.ts': {
    62: [62, 'bytes of a field, measured'],
    95: [95, 'bytes of a oneof or a list, measured'],
    120: [120, 'bytes of a map, measured'],
    1024: [1024, 'bytes that count as one value'],
    defaultMaxValues: [20_000, 'values of one message: GATEWAY_MAX_BODY_VALUES'],
  },
  'upload/finalized.ts': {
    eventTimeout: [9 * minute, 'the timeout of an event-driven function; Pub/Sub waits 10 minutes'],
    leastRate: [
      16 * MiB,
      'bytes per second of an instance: an object that would take longer than the timeout is given up',
    ],
  },
  'upload/frame.ts': {headroom: [64, 'bytes for the frame before each chunk']},
  'upload/send.ts': {defaultChunkBytes: [256 * KiB, 'above the retry buffer, below the 4 MiB that most servers take']},
  'upload/session.ts': {maxBody: [4096, 'bytes of a request for a session: a size and a type']},
  'upload/upload.ts': {
    maxUnannounced: [MiB, 'bytes of a body without a length: 411 beyond'],
    progressEvery: [250, 'between two reports of progress'],
  },
}
