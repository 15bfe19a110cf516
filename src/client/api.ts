/** `posthorn/api`: the HTTP API, with the types of its own document. */
export type * from "./api-types.generated.ts";
export {
  type ApiClient,
  type ApiClientOptions,
  ApiError,
  type ApiProblem,
  type ApiResult,
  type Call,
  type CallInput,
  createApiClient,
  type PagedCall,
} from "./create-api-client.ts";
