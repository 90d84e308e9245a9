import { parseMesh, type ParsedMesh } from './parse_mesh.js';

/** Runs in a worker thread: a large file takes seconds. */
export function parseMeshTask(input: { text: string; file: string }): ParsedMesh {
  return parseMesh(input.text, input.file);
}
