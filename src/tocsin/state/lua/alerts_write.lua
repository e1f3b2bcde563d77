-- Write the folded episodes of some fingerprints; each fingerprint all or nothing, and not at all
-- when its version is not the one that was read. Answers 1 (written) or 0 (refused) for each.
--
-- KEYS: the set of all alerts, the set of unsettled ones; then per fingerprint its version, its
--       episodes, the open alerts of its tenant, and a key for each of its alerts.
-- ARGV: per fingerprint the version that was read and the number of alerts; then per alert its id,
--       body, start, last trigger, deadline (empty: it is not open), whether it was merged away, and
--       whether it fired (else there is nothing to tell of it).
local VERSION_TTL = 86400000 -- a version guards the moment between a read and its write
local written = {}
local key, arg = 3, 1
while arg <= #ARGV do
  local version, episodes, open = KEYS[key], KEYS[key + 1], KEYS[key + 2]
  local expected, count = ARGV[arg], tonumber(ARGV[arg + 1])
  key, arg = key + 3, arg + 2
  local fresh = (redis.call('GET', version) or '0') == expected
  for i = 0, count - 1 do
    local id, body, started, last, deadline, merged, fired = unpack(ARGV, arg + i * 7, arg + i * 7 + 6)
    if fresh then
      redis.call('SET', KEYS[key + i], body)
      redis.call('ZADD', KEYS[1], last, id)
      if fired == '1' then redis.call('SADD', KEYS[2], id) end
      if merged == '1' then
        redis.call('ZREM', episodes, id)
      else
        redis.call('ZADD', episodes, started, id)
      end
      if deadline == '' then
        redis.call('ZREM', open, id)
      else
        redis.call('ZADD', open, deadline, id)
      end
    end
  end
  if fresh then
    redis.call('INCR', version)
    redis.call('PEXPIRE', version, VERSION_TTL)
  end
  written[#written + 1] = fresh and 1 or 0
  key, arg = key + count, arg + count * 7
end
return written
