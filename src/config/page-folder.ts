/** Where `npm run build` puts the page: seen from src/config and from dist/chunks alike. */
import { fileURLToPath } from "node:url";

export const PAGE_FOLDER = fileURLToPath(new URL("../../dist/web/", import.meta.url));
