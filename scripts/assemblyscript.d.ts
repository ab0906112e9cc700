// What we use of the AssemblyScript compiler. Its own declarations also declare globals of its own `console`, which
// would hide Node's in the whole project; tsconfig.json points the name "assemblyscript/asc" here.

interface Host {
  readFile(name: string, folder: string): string | null;
  writeFile(name: string, contents: Uint8Array | string, folder: string): void;
  listFiles(folder: string): string[] | null;
}

interface Compiler {
  main(
    options: readonly string[],
    host: Host,
  ): Promise<{ error: Error | null; stderr: { toString(): string } }>;
}

declare const asc: Compiler;
export default asc;
