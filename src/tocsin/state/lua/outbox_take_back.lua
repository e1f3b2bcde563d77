-- End every lease: their holders are known to be dead.
-- KEYS: the outbox's root. ARGV: the channel, or nothing for all. Returns how many there were.
local root = KEYS[1]
local ended = 0
for _, channel in ipairs(#ARGV > 0 and ARGV or redis.call('HKEYS', root .. ':queued')) do
  local leased = root .. ':leased:' .. channel
  for _, id in ipairs(redis.call('ZRANGE', leased, 0, -1)) do
    local delivery = root .. ':delivery:' .. id
    redis.call('HINCRBY', delivery, 'ambiguous', 1)
    redis.call('HSET', delivery, 'token', '')
    redis.call('ZREM', root .. ':ready:' .. channel, id)
    redis.call('ZADD', root .. ':waiting:' .. channel, redis.call('HGET', delivery, 'next_ms'), id)
    ended = ended + 1
  end
  redis.call('DEL', leased)
end
return ended
