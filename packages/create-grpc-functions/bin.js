#!/usr/bin/env node
import './node-version.js'

await import('./lib/main.js')
