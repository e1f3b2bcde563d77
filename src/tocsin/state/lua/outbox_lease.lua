-- Take what is due in a channel: most severe first, then oldest.
-- KEYS: the outbox's root. ARGV: channel, now_ms, until_ms, limit.
-- Returns the deliveries' fields, in the order that outbox_redis.py names them.
-- waiting (by due time) -> ready (by urgency) -> leased (by end; one that ran out is in ready as well).
local root, channel = KEYS[1], ARGV[1]
local now_ms, until_ms, limit = ARGV[2], ARGV[3], tonumber(ARGV[4])
local waiting, ready = root .. ':waiting:' .. channel, root .. ':ready:' .. channel
local leased = root .. ':leased:' .. channel
local MOST_URGENT, STEP = 4, 2 ^ 48

local function make_ready(id)
  local pair, order = unpack(redis.call('HMGET', root .. ':delivery:' .. id, 'pair', 'order'))
  local rank = 0
  for _, other in ipairs(redis.call('ZRANGE', root .. ':line:' .. pair, 0, -1)) do
    rank = math.max(rank, tonumber(redis.call('HGET', root .. ':delivery:' .. other, 'rank')))
  end
  redis.call('ZADD', ready, (MOST_URGENT - rank) * STEP + tonumber(order), id)
end

for _, id in ipairs(redis.call('ZRANGEBYSCORE', leased, '-inf', now_ms)) do
  make_ready(id)
end
for _, id in ipairs(redis.call('ZRANGEBYSCORE', waiting, '-inf', now_ms)) do
  redis.call('ZREM', waiting, id)
  make_ready(id)
end

local taken = {}
for _, id in ipairs(redis.call('ZRANGE', ready, 0, limit - 1)) do
  local delivery = root .. ':delivery:' .. id
  redis.call('ZREM', ready, id)
  if redis.call('HGET', delivery, 'token') ~= '' then
    redis.call('HINCRBY', delivery, 'ambiguous', 1)
  end
  redis.call('HINCRBY', delivery, 'attempt', 1)
  redis.call('HSET', delivery, 'token', redis.call('INCR', root .. ':count'))
  redis.call('ZADD', leased, until_ms, id)
  taken[#taken + 1] = redis.call('HMGET', delivery, 'notification', 'status', 'attempt', 'ambiguous',
    'next_ms', 'said', 'token', 'settled_ms')
end
return taken
