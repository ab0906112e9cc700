// What finding a cluster needs of the machine: files, environment, and programs that give tokens. The command line gives it; tests
// give their own.

export interface ClusterIo {
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The home directory. */
  readonly home: string;
  /** A file's text; undefined when there is no such file. Other failures are thrown. */
  readText(path: string): Promise<string | undefined>;
  /** Runs a program without a shell, its standard input empty, `variables` added to its environment. Throws when it cannot start. */
  run(
    program: string,
    options: {
      readonly arguments: readonly string[];
      readonly variables: Readonly<Record<string, string>>;
      readonly signal?: AbortSignal | undefined;
    },
  ): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }>;
}
