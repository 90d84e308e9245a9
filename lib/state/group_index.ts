const none: readonly never[] = [];

/**
 * Values in named groups, each under an id that is unique in its group. A group reads as an array
 * in order of arrival (a replaced value keeps its place); the array stays the same object until the
 * group changes, and is never changed itself.
 */
export class GroupIndex<Value> {
  readonly #groups = new Map<string, Map<string, Value>>();
  readonly #arrays = new Map<string, readonly Value[]>();

  get(group: string): readonly Value[] {
    const known = this.#arrays.get(group);
    if (known !== undefined) return known;
    const values = this.#groups.get(group);
    if (values === undefined) return none;
    const array = [...values.values()];
    this.#arrays.set(group, array);
    return array;
  }

  put(group: string, id: string, value: Value): void {
    let values = this.#groups.get(group);
    if (values === undefined) this.#groups.set(group, values = new Map<string, Value>());
    values.set(id, value);
    this.#arrays.delete(group);
  }

  remove(group: string, id: string): void {
    const values = this.#groups.get(group);
    if (values === undefined || !values.delete(id)) return;
    this.#arrays.delete(group);
    if (values.size === 0) this.#groups.delete(group);
  }
}
