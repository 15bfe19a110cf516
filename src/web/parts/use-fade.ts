/** One line of things that scrolls where it is too long: it fades at an end that has more, and shows the chosen one. */
import type { RefObject } from "preact";
import { useEffect } from "preact/hooks";

/** @param selector finds the chosen one. @param chosen changes with it */
export function useFade(line: RefObject<HTMLElement | null>, selector: string, chosen: string): void {
  useEffect(() => {
    const element = line.current;
    if (element === null) return;
    const update = (): void => {
      element.classList.toggle("more-before", element.scrollLeft > 1);
      element.classList.toggle("more-after", element.scrollLeft + element.clientWidth < element.scrollWidth - 1);
    };
    const observer = new ResizeObserver(update);
    observer.observe(element);
    element.addEventListener("scroll", update, { passive: true });
    return () => {
      observer.disconnect();
      element.removeEventListener("scroll", update);
    };
  }, []);
  useEffect(() => {
    const shown = line.current?.querySelector<HTMLElement>(selector);
    if (line.current && shown) line.current.scrollLeft = shown.offsetLeft - (line.current.clientWidth - shown.offsetWidth) / 2;
  }, [chosen]);
}
