// Numbers and times as people read them. What is not known (null) is a dash.

export const DASH = "\u2013";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const fixed = [0, 1, 2, 3, 4].map(
  (digits) => new Intl.NumberFormat("en", { minimumFractionDigits: digits, maximumFractionDigits: digits }),
);

export function decimal(value, digits = 2) {
  if (value === null || value === undefined) return DASH;
  if (value > 0 && value < 0.5 * 10 ** -digits) return `<${fixed[digits].format(10 ** -digits)}`;
  return fixed[digits].format(value);
}

export function watts(value) {
  return decimal(value, value >= 1000 ? 0 : value >= 100 ? 1 : 2);
}

export function percent(value) {
  return value === null || value === undefined ? DASH : `${decimal(100 * value, 1)}\u202f%`;
}

export function scaled(value, unit) {
  if (value === null || value === undefined) return DASH;
  const prefix = [["G", 1e9], ["M", 1e6], ["k", 1e3]].find(([, size]) => value >= size) ?? ["", 1];
  const number = value / prefix[1];
  return `${decimal(number, number >= 100 ? 1 : 2)}\u202f${prefix[0]}${unit}`;
}

export function duration(seconds) {
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  if (minutes) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  return `${Math.max(0, Math.floor(seconds))} s`;
}

export function clock(unixSeconds, withSeconds = false) {
  const options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (withSeconds) options.second = "2-digit";
  return new Date(1000 * unixSeconds).toLocaleTimeString("en", options);
}

export function count(value) {
  return whole.format(value);
}

// Names that tell an id from its ends: 64 hex digits say no more than twelve.
export function shortName(name) {
  return /^[0-9a-f]{64}$/.test(name) ? name.slice(0, 12) : name;
}
