// What this phone and browser report about themselves.

/** Returns the model, system and browser, as far as the browser reports them. */
export async function about() {
  const hints = ["model", "platformVersion", "fullVersionList"];
  const high = await navigator.userAgentData?.getHighEntropyValues(hints).catch(() => null);
  const brands = (high?.fullVersionList ?? []).filter(({ brand }) => !/^\W*not[\W_]/i.test(brand));
  // The list has the engine, too.
  const browser = brands.find(({ brand }) => brand !== "Chromium") ?? brands[0];
  return {
    user_agent: navigator.userAgent,
    cores: navigator.hardwareConcurrency,
    model: high?.model ?? "",
    platform: high ? `${high.platform} ${high.platformVersion}`.trim() : "",
    browser: browser ? `${browser.brand} ${browser.version}` : "",
  };
}

/** Returns how full the battery is, if the browser reports it. */
export async function battery() {
  const found = await navigator.getBattery?.().catch(() => null);
  if (!found) return {};
  return { battery_percent: Math.round(found.level * 100), charging: String(found.charging) };
}
