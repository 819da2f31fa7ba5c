// Imported before grpc-js, which reads it when it is loaded: it would take the place of the certificates that Node trusts.
delete process.env.GRPC_DEFAULT_SSL_ROOTS_FILE_PATH
