/**
 * Waits for both, also when one has failed, so that nothing goes on behind the caller's back.
 *
 * @throws what failed; of two failures the first one's
 */
export async function bothOrThrow<A, B>(first: Promise<A>, second: Promise<B>): Promise<[A, B]> {
  const [one, other] = await Promise.allSettled([first, second]);
  if (one.status === "rejected") throw one.reason;
  if (other.status === "rejected") throw other.reason;
  return [one.value, other.value];
}
