// Keeping the screen on while there is something to do: a phone that sleeps measures nothing.

let lock = null;
let wanted = false;

async function hold() {
  if (wanted && !document.hidden) lock = await navigator.wakeLock?.request("screen").catch(() => null);
}

/** Keeps the screen on; the browser lets go whenever the page is hidden. */
export function keepAwake() {
  wanted = true;
  document.addEventListener("visibilitychange", hold);
  return hold();
}

/** Whether the screen is kept on. */
export const awake = () => Boolean(lock && !lock.released);

/** Lets the screen go off again. */
export function letSleep() {
  wanted = false;
  return lock?.release();
}
