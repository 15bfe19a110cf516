/** `posthorn/api`: a client of the HTTP API, with types from its OpenAPI document. */
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
