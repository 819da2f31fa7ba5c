// Imported before grpc-js, which reads the variable when it is loaded: it would replace the certificates that Node trusts.
delete process.env.GRPC_DEFAULT_SSL_ROOTS_FILE_PATH
