// Lists of a bucket, a thousand names a request, and where there are more in parallel: the rest of a repository's data/ is
// divided by the next hex digits of the names, so that a million packs take a few round trips instead of a thousand.
// Hashes are never asked for: objects under a customer's key are listed without them.

import { Semaphore } from "../../base/concurrency.ts";
import { isKey } from "../keys.ts";
import type { StoredObject } from "../storage.ts";
import { pageOf } from "./answers.ts";
import type { Page } from "./answers.ts";
import type { Service } from "./service.ts";

/** Pages fetched and not yet read, for each that may be fetched at once. */
const UNREAD_PAGES = 2;

export interface ListOptions {
  readonly service: Service;
  /** The place of the storage in the bucket: "" or "filestore/". */
  readonly root: string;
  /** A normal prefix of keys: "" or "data/". */
  readonly prefix: string;
  /** Only names behind this key are wanted. */
  readonly after?: string | undefined;
  readonly parallel: number;
  readonly signal?: AbortSignal | undefined;
}

interface Span {
  /** First name, inclusive; undefined from the beginning. */
  readonly start?: string | undefined;
  /** First name that no longer belongs to it. */
  readonly end?: string | undefined;
}

/** Every object below the prefix once, in no particular order. */
export async function* listObjects(options: ListOptions): AsyncGenerator<StoredObject> {
  const below = options.root + options.prefix;
  const span: Span = options.after === undefined ? {} : { start: options.root + options.after };
  const first = await fetchPage(options, span, undefined);
  yield* objectsOf(first, options);
  if (first.nextPageToken === undefined) return;
  const last = first.items.at(-1)?.name;
  const isPart = options.after !== undefined || last === undefined;
  const spans = isPart ? undefined : spansAfter(below, last);
  if (spans === undefined) {
    yield* followPages(options, span, first.nextPageToken);
    return;
  }
  yield* inParallel(spans, options, last!);
}

/**
 * The names of hex digits after `last`, divided evenly: 256 spans when the first page reached less than a sixteenth of
 * them, 16 otherwise. Undefined when `last` is not named that way.
 */
function spansAfter(below: string, last: string): Span[] | undefined {
  const digits = /^([0-9a-f])([0-9a-f])/.exec(last.slice(below.length));
  if (!last.startsWith(below) || digits === null) return undefined;
  const width = digits[1] === "0" ? 2 : 1;
  const own = Number.parseInt(digits[0].slice(0, width), 16);
  const text = (value: number): string => below + value.toString(16).padStart(width, "0");
  const spans: Span[] = [];
  for (let value = own; value < 16 ** width; value++) {
    const isLast = value === 16 ** width - 1;
    // The last one is open: whatever else lies below the prefix is in it.
    spans.push({
      start: value === own ? last : text(value),
      end: isLast ? undefined : text(value + 1),
    });
  }
  return spans;
}

async function* inParallel(
  spans: readonly Span[],
  options: ListOptions,
  last: string,
): AsyncGenerator<StoredObject> {
  const places = new Semaphore(options.parallel);
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const within = { ...options, signal };
  // A span is fetched page by page; pages that came wait here until they are read. Each holds a place, so that a slow
  // reader makes the spans wait, not the memory grow.
  const unread = new Semaphore(UNREAD_PAGES * options.parallel);
  const pages: { readonly page: Page; readonly release: () => void }[] = [];
  let left = spans.length;
  let failure: { error: unknown } | undefined;
  let wake = (): void => {};
  const work = async (span: Span): Promise<void> => {
    let token: string | undefined;
    do {
      const release = await unread.acquire(signal);
      const page = await places.run(() => fetchPage(within, span, token), signal);
      pages.push({ page, release });
      wake();
      token = page.nextPageToken;
    } while (token !== undefined);
  };
  const running = spans.map((span) =>
    work(span)
      .catch((error: unknown) => void (failure ??= { error }))
      .finally(() => {
        left -= 1;
        wake();
      }),
  );
  try {
    for (;;) {
      const next = pages.shift();
      if (failure) throw failure.error;
      if (next !== undefined) {
        yield* objectsOf(next.page, options, last);
        next.release();
      } else if (left === 0) return;
      else await new Promise<void>((resolve) => (wake = resolve));
    }
  } finally {
    stop.abort();
    await Promise.all(running);
  }
}

async function* followPages(
  options: ListOptions,
  span: Span,
  first: string | undefined,
): AsyncGenerator<StoredObject> {
  let token = first;
  while (token !== undefined) {
    const page: Page = await fetchPage(options, span, token);
    yield* objectsOf(page, options);
    token = page.nextPageToken;
  }
}

async function fetchPage(
  { service, root, prefix, signal }: ListOptions,
  { start, end }: Span,
  pageToken: string | undefined,
): Promise<Page> {
  const what = `list ${root + prefix || service.bucket}`;
  const answer = await service.call({
    kind: "list",
    method: "GET",
    path: `/storage/v1/b/${encodeURIComponent(service.bucket)}/o`,
    query: {
      prefix: root + prefix,
      startOffset: start,
      endOffset: end,
      fields: "kind,items(name,size,updated),nextPageToken",
      pageToken,
    },
    what,
    signal,
  });
  return pageOf(answer, what);
}

/** The objects of a page that have names of ours, without the one called `except`: it was told before. */
function* objectsOf(page: Page, { root }: ListOptions, except?: string): Generator<StoredObject> {
  for (const { name, size, modified } of page.items) {
    const key = name.slice(root.length);
    if (name !== except && name.startsWith(root) && isKey(key)) yield { key, size, modified };
  }
}
