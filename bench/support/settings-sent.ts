/** The settings that a contender's process is sent: those for thousands of destinations are too long for an argument. */
export function settingsSent(): Promise<unknown> {
  return new Promise((resolve) => process.once("message", resolve));
}
