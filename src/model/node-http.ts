/**
 * The parts of node:http that the program needs. Imported as a module, node:http makes Node load its own copy of undici, for `http.WebSocket`
 * and the like: 13 MB that nothing here uses.
 */
export const { createServer, request, STATUS_CODES } = process.getBuiltinModule("node:http");
