/** Suggests event types to an input whose `list` is `published-types`. */
import { useEventTypes } from "../use-event-types.ts";

export function PublishedTypes({ app }: { app: string }) {
  const { value } = useEventTypes(app);
  return (
    <datalist id="published-types">
      {value?.types.map(({ type }) => (
        <option key={type} value={type} />
      ))}
    </datalist>
  );
}
