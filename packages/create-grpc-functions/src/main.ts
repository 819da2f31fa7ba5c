#!/usr/bin/env node
import {runCreate} from './run.ts'

runCreate(process.argv.slice(2), 'npm create grpc-functions')
