-- Append sightings to the evidence of some groups; a log that grew too long keeps its newest lines.
--
-- KEYS: a log per group. ARGV: the most bytes a log may have and how many are kept when it has more;
-- then per group the time to live in milliseconds (a backstop) and the lines to append.
local most, kept = tonumber(ARGV[1]), tonumber(ARGV[2])
for i = 1, #KEYS do
  local ttl, lines = ARGV[i * 2 + 1], ARGV[i * 2 + 2]
  local size = redis.call('APPEND', KEYS[i], lines)
  if size > most then
    local tail = redis.call('GETRANGE', KEYS[i], -kept, -1)
    local cut = string.find(tail, '\n', 1, true)
    redis.call('SET', KEYS[i], string.sub(tail, cut + 1))
  end
  redis.call('PEXPIRE', KEYS[i], ttl)
end
return #KEYS
