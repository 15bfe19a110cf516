import { render } from "preact";
import { Shell } from "./shell.tsx";
import { signInByLink } from "./sign-in-by-link.ts";

signInByLink();
// In a tab that has the page already, opening a link only changes the fragment.
addEventListener("hashchange", () => {
  if (signInByLink()) location.reload();
});

const page = document.getElementById("page");
if (page !== null) render(<Shell />, page);
