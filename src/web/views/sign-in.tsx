/** Asks for a bearer token. It is kept for this tab only. */
import { useRef } from "preact/hooks";
import { token } from "../api.ts";
import { Horn } from "../parts/icons.tsx";

export function SignIn({ isRefused }: { isRefused: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  const signIn = (event: Event): void => {
    event.preventDefault();
    token.set(input.current?.value.trim() ?? "");
    location.reload();
  };
  return (
    <main class="lonely">
      <form class="card sign-in" onSubmit={signIn}>
        <h1>
          <Horn /> Posthorn
        </h1>
        <label class="field">
          <span>API token</span>
          <input
            ref={input}
            type="password"
            autocomplete="current-password"
            required
            aria-describedby="token-help"
            aria-invalid={isRefused}
          />
        </label>
        <p id="token-help" class={isRefused ? "action-error" : "muted"} role={isRefused ? "alert" : undefined}>
          {isRefused
            ? "This token or link is unknown or has expired."
            : "One of POSTHORN_API_TOKENS, or the token of an app or organization. It is forgotten when you close this tab."}
        </p>
        <button type="submit" class="button primary">
          Sign in
        </button>
      </form>
    </main>
  );
}
