-- Delete deliveries settled long ago, then the memory of pairs of which none is left.
-- A pair's sequence must outlive its deliveries: a new one may not take an old one's id.
-- KEYS: the outbox's root. ARGV: before_ms, limit (of each, so that nobody waits long).
-- Returns how many deliveries, how many pairs; call again until both are 0.
local root, before_ms, limit = KEYS[1], '(' .. ARGV[1], ARGV[2]

local ids = redis.call('ZRANGEBYSCORE', root .. ':settled', '-inf', before_ms, 'LIMIT', 0, limit)
for _, id in ipairs(ids) do
  local delivery = root .. ':delivery:' .. id
  local status, pair = unpack(redis.call('HMGET', delivery, 'status', 'pair'))
  redis.call('DEL', delivery)
  redis.call('ZREM', root .. ':all', id)
  redis.call('ZREM', root .. ':status:' .. status, id)
  redis.call('ZREM', root .. ':settled', id)
  redis.call('HINCRBY', root .. ':pair:' .. pair, 'kept', -1)
end

local pairs_ = 0
for _, pair in ipairs(redis.call('ZRANGEBYSCORE', root .. ':pairs', '-inf', before_ms, 'LIMIT', 0, limit)) do
  if tonumber(redis.call('HGET', root .. ':pair:' .. pair, 'kept')) <= 0 then
    redis.call('DEL', root .. ':pair:' .. pair)
    redis.call('ZREM', root .. ':pairs', pair)
    pairs_ = pairs_ + 1
  end
end
return { #ids, pairs_ }
