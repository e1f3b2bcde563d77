-- Send a dead letter again: to the end of its pair's line, with all its attempts before it.
-- KEYS: the outbox's root. ARGV: id, now_ms.
-- Returns 1, or 0 when there is no dead letter of that id.
local root, id, now_ms = KEYS[1], ARGV[1], ARGV[2]
local delivery = root .. ':delivery:' .. id
local status, channel, pair, born = unpack(redis.call('HMGET', delivery, 'status', 'channel', 'pair', 'born'))
if status ~= 'dead' then return 0 end

local number = redis.call('INCR', root .. ':count')
redis.call('HSET', delivery, 'status', 'queued', 'attempt', 0, 'next_ms', now_ms, 'settled_ms', '',
  'requeued', 1, 'order', number)
redis.call('ZREM', root .. ':status:dead', id)
redis.call('ZREM', root .. ':settled', id)
redis.call('HINCRBY', root .. ':queued', channel, 1)
redis.call('ZADD', root .. ':status:queued', born, id)

local line = root .. ':line:' .. pair
redis.call('ZADD', line, number, id)
local head = redis.call('ZRANGE', line, 0, 0)[1]
if head == id or redis.call('ZREM', root .. ':ready:' .. channel, head) == 1 then
  local next_ms = redis.call('HGET', root .. ':delivery:' .. head, 'next_ms')
  redis.call('ZADD', root .. ':waiting:' .. channel, next_ms, head)
end
return 1
