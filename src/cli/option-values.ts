// Values of options that several commands share.

import { InvalidArgumentError } from "commander";

/** Collects the values of an option that may be repeated. */
export function collect(value: string, list: string[]): string[] {
  return [...list, value];
}

/** A whole number, below zero as well: restic takes that for "no limit". */
export function wholeNumber(value: string): number {
  if (/^-?\d{1,9}$/.test(value)) return Number(value);
  throw new InvalidArgumentError("It is not a whole number.");
}
