-- Queue a notification and remember what its pair (channel, group) now knows, in one step.
-- KEYS: the outbox's root; every other key is made of it, and shares its hash tag.
-- ARGV: id, channel, pair, rank (0-4), created_ms, notification, last, last_ms.
-- Returns 1, or 0 when it was there and nothing changed.
local root = KEYS[1]
local id, channel, pair, rank, created_ms, notification, last, last_ms = unpack(ARGV)
local delivery = root .. ':delivery:' .. id
if redis.call('EXISTS', delivery) == 1 then return 0 end

local number = redis.call('INCR', root .. ':count')
redis.call('HSET', delivery, 'status', 'queued', 'attempt', 0, 'ambiguous', 0, 'next_ms', created_ms,
  'said', '', 'token', '', 'settled_ms', '', 'requeued', 0, 'born', number, 'order', number,
  'channel', channel, 'pair', pair, 'rank', rank, 'notification', notification)
redis.call('ZADD', root .. ':all', number, id)
redis.call('ZADD', root .. ':status:queued', number, id)
redis.call('HINCRBY', root .. ':queued', channel, 1)

redis.call('HSET', root .. ':pair:' .. pair, 'last', last)
redis.call('HINCRBY', root .. ':pair:' .. pair, 'kept', 1)
redis.call('ZADD', root .. ':pairs', last_ms, pair)

-- A pair's messages stand in line. Back to waiting with its head: the next lease ranks it anew, by all behind it.
local line = root .. ':line:' .. pair
redis.call('ZADD', line, number, id)
local head = redis.call('ZRANGE', line, 0, 0)[1]
if head == id or redis.call('ZREM', root .. ':ready:' .. channel, head) == 1 then
  local next_ms = redis.call('HGET', root .. ':delivery:' .. head, 'next_ms')
  redis.call('ZADD', root .. ':waiting:' .. channel, next_ms, head)
end
return 1
