/**
 * Many small entries in few keys. Redis keeps a hash of at most 128 short fields in one piece of memory, a listpack, where an entry costs
 * a few bytes more than its content; a key or a field of a large hash costs about 100.
 *
 * PACK-1  An entry is in the first hash with room on the path of its name: the root, then the root and one hexadecimal digit of the
 *     name, then two. Nothing is ever removed, so a hash that is full stays full, and a reader ends at the first one that is not.
 * PACK-2  A root holds the entries of one period, and expires as a whole: a hash's time to live is set when its first entry is written.
 * PACK-3  A later entry of the same name is in the same hash as the earlier one, and replaces it, or further down the path.
 */

/** Redis's own limits are hash-max-listpack-entries 128 (512 before 7.0) and hash-max-listpack-value 64. */
const FIELDS = 128;
export const PERIOD_MS = 12 * 3_600_000;

/** The beginning of a name, whose digits lead to its hash. No name is shorter. */
const PATH_BYTES = 6;
/** The digits of PATH_BYTES. */
export const LONGEST_PATH = 12;

export function periodAt(epochMs: number): number {
  return Math.floor(epochMs / PERIOD_MS);
}

/** The periods that may hold what was written within `ttlMs`, oldest first; with the next one, for clocks that are ahead. */
export function periodsOf(ttlMs: number, now: number): number[] {
  const [first, last] = [periodAt(now - ttlMs), periodAt(now) + 1];
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

/** A root is kept for as long as its last entry has to be. */
export function rootTtlS(ttlMs: number): number {
  return Math.ceil((ttlMs + PERIOD_MS) / 1_000);
}

/** Lua: `node_at(root, name, depth)` → key of the hash in that depth of the name's path. */
export const NODE_AT = `
local function node_at(root, name, depth)
  if depth == 0 then return root end
  return root .. ':' .. string.sub(string.format('${"%02x".repeat(PATH_BYTES)}', string.byte(name, 1, ${PATH_BYTES})), 1, depth)
end
local function is_full(key)
  local size = redis.pcall('HLEN', key)
  return type(size) == 'number' and size >= ${FIELDS}, size
end
`;

/** Lua: `put_packed(try, root, name, field, value, ttl, longest, keeps)`; an entry is dropped where a path of `longest` is full (PACK-1). */
export const PUT_PACKED = `${NODE_AT}
local function put_packed(try, root, name, field, value, ttl, longest, keeps)
  for depth = 0, longest do
    local key = node_at(root, name, depth)
    local full, size = is_full(key)
    if not full then
      if keeps then
        local before = redis.pcall('HMGET', key, field)
        if keeps(before[1]) then return end
      end
      try('HSET', key, field, value)
      if size == 0 then try('EXPIRE', key, ttl) end
      return
    end
  end
end
`;
