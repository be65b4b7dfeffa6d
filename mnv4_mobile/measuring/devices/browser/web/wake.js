// Keeps the screen on during a run: a sleeping phone measures nothing.

let lock = null;
let wanted = false;

async function hold() {
  if (wanted && !document.hidden) lock = await navigator.wakeLock?.request("screen").catch(() => null);
}

/** Keeps the screen on, again each time the page is shown: the browser ends it when the page is hidden. */
export function keepAwake() {
  wanted = true;
  document.addEventListener("visibilitychange", hold);
  return hold();
}

/** Returns whether the screen is kept on. */
export const awake = () => Boolean(lock && !lock.released);

/** Lets the screen turn off again. */
export function letSleep() {
  wanted = false;
  return lock?.release();
}
