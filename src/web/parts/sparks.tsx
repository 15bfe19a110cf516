/** Small charts of an app's last 24 hours, next to the numbers in text. */

const WIDTH = 96;
const HEIGHT = 22;
const STEP = WIDTH / 24;
const BAR = STEP - 1;

/** Attempts by hour, scaled to the app's own busiest hour. */
export function VolumeSpark({ attempts }: { attempts: readonly number[] }) {
  const most = Math.max(1, ...attempts);
  let path = "";
  for (const [hour, value] of attempts.entries()) {
    if (value === 0) continue;
    const height = Math.max(1.5, (value / most) * HEIGHT);
    path += `M${hour * STEP} ${HEIGHT}v${-height}h${BAR}v${height}z`;
  }
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" focusable="false">
      <path class="spark-base" d={`M0 ${HEIGHT - 0.5}h${WIDTH - 1}`} />
      <path class="spark-volume" d={path} />
    </svg>
  );
}

/** The share of each hour's attempts that delivered, with the rest on top. */
export function RateSpark({ attempts, delivered }: { attempts: readonly number[]; delivered: readonly number[] }) {
  let good = "";
  let bad = "";
  for (const [hour, all] of attempts.entries()) {
    if (all === 0) continue;
    const share = (delivered[hour] ?? 0) / all;
    const lost = share === 1 ? 0 : Math.max(2.5, (1 - share) * HEIGHT);
    if (lost < HEIGHT) good += `M${hour * STEP} ${HEIGHT}V${lost}h${BAR}V${HEIGHT}z`;
    if (lost > 0) bad += `M${hour * STEP} 0v${Math.min(HEIGHT, lost)}h${BAR}V0z`;
  }
  return (
    <svg class="spark" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} aria-hidden="true" focusable="false">
      <path class="spark-base" d={`M0 ${HEIGHT - 0.5}h${WIDTH - 1}`} />
      <path class="spark-good" d={good} />
      <path class="spark-bad" d={bad} />
    </svg>
  );
}
