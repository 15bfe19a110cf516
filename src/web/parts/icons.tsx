/** The few icons there are, drawn with the text's colour; beside text, so hidden from screen readers. */
import type { ComponentChildren } from "preact";

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

export const SearchIcon = () => (
  <Icon>
    <circle cx="7" cy="7" r="4.25" />
    <path d="m10.25 10.25 3.25 3.25" />
  </Icon>
);
export const CloseIcon = () => (
  <Icon>
    <path d="m4 4 8 8M12 4l-8 8" />
  </Icon>
);
export const CopyIcon = () => (
  <Icon>
    <rect x="5.75" y="5.75" width="7.5" height="7.5" rx="1.5" />
    <path d="M3.5 10.25h-.25a1 1 0 0 1-1-1v-6a1 1 0 0 1 1-1h6a1 1 0 0 1 1 1v.25" />
  </Icon>
);
export const CheckIcon = () => (
  <Icon>
    <path d="m3.500 8.500 3 3 6-7" />
  </Icon>
);
export const RefreshIcon = () => (
  <Icon>
    <path d="M13 8a5 5 0 1 1-1.500-3.550M13 2.500v2.750h-2.750" />
  </Icon>
);
export const WarningIcon = () => (
  <Icon>
    <path d="M8 2.500 14 13H2L8 2.500ZM8 6.500v3M8 11.250v.01" />
  </Icon>
);
export const ResendIcon = () => (
  <Icon>
    <path d="M2.750 8h9.500M8.750 4.500 12.250 8l-3.500 3.500" />
  </Icon>
);

/** The posthorn itself. */
export const Horn = () => (
  <svg class="horn" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
    <rect width="32" height="32" rx="7" fill="#f2b822" />
    <g fill="none" stroke="#1b1c1e" stroke-width="2.6" stroke-linecap="round" stroke-linejoin="round">
      <circle cx="14.5" cy="17" r="6" />
      <path d="M5.500 11h9M14.500 11c4 0 7.500-1.500 11-4.500v9.500c-1.700-1.800-3-2.800-5-3.500" />
    </g>
  </svg>
);
