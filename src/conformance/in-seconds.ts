/** `1.25 s` */
export function inSeconds(ms: number): string {
  return `${Math.round(ms / 10) / 100} s`;
}
