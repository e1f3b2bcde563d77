-- Make due now what a channel waits with.
-- KEYS: the outbox's root. ARGV: channel, now_ms. Returns how many.
local root, channel, now_ms = KEYS[1], ARGV[1], ARGV[2]
local waiting = root .. ':waiting:' .. channel
local late = redis.call('ZRANGEBYSCORE', waiting, '(' .. now_ms, '+inf')
for _, id in ipairs(late) do
  redis.call('HSET', root .. ':delivery:' .. id, 'next_ms', now_ms)
  redis.call('ZADD', waiting, now_ms, id)
end
return #late
