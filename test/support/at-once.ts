/** Runs work(0) … work(count − 1), so many at a time, in order of their numbers. */
export async function atOnce(
  width: number,
  count: number,
  work: (at: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await work(next - 1);
    }
  };
  await Promise.all(Array.from({ length: width }, lane));
}
