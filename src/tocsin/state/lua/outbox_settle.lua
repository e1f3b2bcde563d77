-- Write down what became of a leased delivery; only its lease's holder may.
-- KEYS: the outbox's root. ARGV: id, token, outcome (sent | dead | retry | release), now_ms, next_ms, said.
-- Returns 1, or 0 when the lease was lost.
local root = KEYS[1]
local id, token, outcome, now_ms, next_ms, said = unpack(ARGV)
local delivery = root .. ':delivery:' .. id
local held, channel, pair, born, requeued, due_ms =
  unpack(redis.call('HMGET', delivery, 'token', 'channel', 'pair', 'born', 'requeued', 'next_ms'))
if not held or held == '' or held ~= token then return 0 end

redis.call('HSET', delivery, 'token', '')
redis.call('ZREM', root .. ':leased:' .. channel, id)
redis.call('ZREM', root .. ':ready:' .. channel, id)

local waiting = root .. ':waiting:' .. channel
if outcome == 'retry' then
  redis.call('HSET', delivery, 'next_ms', next_ms, 'said', said)
  redis.call('ZADD', waiting, next_ms, id)
  return 1
end
if outcome == 'release' then
  redis.call('HINCRBY', delivery, 'attempt', -1)
  redis.call('ZADD', waiting, due_ms, id)
  return 1
end

local status = outcome
if outcome == 'sent' and requeued == '1' then status = 'resent' end
redis.call('HSET', delivery, 'status', status, 'said', said, 'settled_ms', now_ms)
redis.call('HINCRBY', root .. ':queued', channel, -1)
redis.call('ZREM', root .. ':status:queued', id)
redis.call('ZADD', root .. ':status:' .. status, born, id)
redis.call('ZADD', root .. ':settled', now_ms, id)

local line = root .. ':line:' .. pair
redis.call('ZREM', line, id)
local head = redis.call('ZRANGE', line, 0, 0)[1]
if head then
  redis.call('ZADD', waiting, redis.call('HGET', root .. ':delivery:' .. head, 'next_ms'), head)
end
return 1
