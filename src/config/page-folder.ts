/** The folder that `npm run build` writes the page to; the path is the same from src/config and dist/chunks. */
import { fileURLToPath } from "node:url";

export const PAGE_FOLDER = fileURLToPath(new URL("../../dist/web/", import.meta.url));
