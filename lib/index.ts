/** `onehop`: the ambient-mesh data plane. Importing it loads no native code and opens nothing. */

export { OnehopError } from './base/error.js';
export { Engine } from './engine/engine.js';
export type {
  CounterTotals, DialInput, EngineHandlers, EngineTotals,
} from './engine/engine.js';
export type { Decide } from './engine/decider.js';
export { EngineError } from './engine/error.js';
export type { EngineErrorCode, EngineErrorFacts } from './engine/error.js';
export { FlowSocket } from './engine/flow_socket.js';
export type { FlowEnds } from './engine/flow_socket.js';
export { isSupported } from './engine/loader.js';
export { engineBounds, engineDefaults } from './engine/options.js';
export type { Allow, Answer, Deny, EndpointInput, ListenInput } from './engine/options.js';
export type {
  CloseReason, CredentialInfo, CredentialSpec, Delivery, Endpoint, EndpointProtocol, EngineOptions,
  FlowEvent, FlowEventName, FlowFacts, FlowSummary, Handle, Listening, ListenerKind, ListenSpec,
  Notice, Side, TunnelFacts, Upcall, Verdict,
} from './engine/contract.js';

export { parseSpiffeId, formatSpiffeId } from './model/spiffe_id.js';
export type { SpiffeId } from './model/spiffe_id.js';

export { nodeOptions, nodeOptionsRequired } from './config/node_options.js';
export type { NodeConfig } from './config/node_options.js';
export { ConfigError, flagOf, helpOf, readConfig } from './config/read.js';
export type { ConfigProblem, OptionTable, Origin, ReadConfig, Values } from './config/read.js';
export type { Option } from './config/option.js';

export { Authority } from './roles/authority.js';
export type { InitAuthorityOptions } from './roles/authority.js';
export { certificateFiles } from './roles/certificate_files.js';
export type {
  CertificateFileSet, CertificateSource, IssuedCertificate,
} from './roles/certificate_files.js';
export { checkMesh } from './roles/check_mesh.js';
export type { Diagnostic, MeshCheck } from './roles/check_mesh.js';
export { createNodeProxy, NodeProxy } from './roles/node_proxy.js';
export type { LogStream, NodeProxyOptions } from './roles/node_proxy.js';
export { packageVersion } from './roles/version.js';
