#!/usr/bin/env node
import './node-version.js'

await import('./lib/local/cli/main.js')
