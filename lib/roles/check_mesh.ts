import { formatDiagnostic, type Diagnostic } from '../discovery/diagnostic.js';
import { checkMeshFile } from '../discovery/mesh_file.js';

export type { Diagnostic } from '../discovery/diagnostic.js';

export interface MeshCheck {
  /** Whether a node proxy would take the file. */
  readonly ok: boolean;
  readonly diagnostics: readonly Diagnostic[];
  /** One per diagnostic: `file:line:column: error: path: message`. */
  readonly lines: readonly string[];
  readonly workloads: number;
  readonly services: number;
  readonly policies: number;
}

/** Reads a mesh file as a node proxy would. Never rejects. */
export async function checkMesh(path: string): Promise<MeshCheck> {
  const { mesh, diagnostics } = await checkMeshFile(path);
  return {
    ok: mesh !== undefined, diagnostics, lines: diagnostics.map(formatDiagnostic),
    workloads: mesh?.workloads.size ?? 0, services: mesh?.services.size ?? 0,
    policies: mesh?.policies.size ?? 0,
  };
}
