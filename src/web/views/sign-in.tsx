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
            ? "This token is not known, or not any more."
            : "One of POSTHORN_API_TOKENS, or an app’s own. It is forgotten when this tab is closed."}
        </p>
        <button type="submit" class="button primary">
          Sign in
        </button>
      </form>
    </main>
  );
}
