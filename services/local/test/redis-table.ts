/**
 * Commands, one a line, in order, on one connection. Words are separated by spaces, "" quotes with JSON's escapes.
 * What is compared is every reply of the embedded Redis with the real one's.
 */
export const table: Record<string, string> = {
  strings: String.raw`
    SET k v
    GET k
    GET absent
    SET k v2 NX
    SET k v2 XX
    SET absent v XX
    SET k v3 GET
    SET fresh v GET
    SET k v4 NX GET
    SET k v EX 100
    TTL k
    SET k v2 KEEPTTL
    TTL k
    SET k v3
    TTL k
    SET k v PX 100000 NX
    SET k v PX 0
    SET k v EX -1
    SET k v EX x
    SET k v EX
    SET k v EX 10 PX 10
    SET k v EX 10 KEEPTTL
    SET k v NX XX
    SET k v BOGUS
    SET k v PXAT 1000
    EXISTS k
    SET k v EXAT 1000
    GET k
    SET k v PXAT 99999999999999
    PEXPIRETIME k
    EXPIRETIME k
    PERSIST k
    PERSIST k
    TTL k
    SET
    SET k
    GET
    GET a b
    SETNX k x
    SETNX k2 x
    SETEX k3 100 v
    TTL k3
    SETEX k3 0 v
    PSETEX k3 100000 v
    PSETEX k3 -1 v
    GETSET k3 w
    TTL k3
    GETDEL k3
    GETDEL k3
    GETEX k EX 100
    TTL k
    GETEX k PERSIST
    TTL k
    GETEX k
    GETEX k EX 10 PERSIST
    GETEX absent
    MGET k k2 absent
    MSET a 1 b 2
    MSET a 1 b
    MSETNX a 1 c 2
    MSETNX c 1 d 2
    MGET a b c d
    APPEND a 23
    APPEND new x
    STRLEN a
    STRLEN absent
    INCR a
    INCR n
    DECR n
    INCRBY n 10
    DECRBY n 3
    INCRBY n 9223372036854775807
    INCRBY n x
    INCRBY n 1.5
    SET s abc
    INCR s
    SET s 01
    INCR s
    SET s " 1"
    INCR s
    SET s 9223372036854775807
    INCR s
    INCRBYFLOAT f 10.5
    INCRBYFLOAT f 0.1
    INCRBYFLOAT f -5
    INCRBYFLOAT f x
    GETRANGE k 0 -1
    SET long 0123456789
    GETRANGE long 2 4
    GETRANGE long -3 -1
    GETRANGE long 5 2
    SETRANGE long 3 abc
    GET long
    SETRANGE pad 3 x
    GET pad
    SET bin "\u0000\u00ff\r\n"
    GET bin
    STRLEN bin
    SET "" empty
    GET ""
    SET e ""
    GET e
    set lower case
    GeT lower
  `,
  keys: String.raw`
    SET a 1
    SET b 2
    DEL a b absent
    SET a 1
    EXISTS a a absent
    UNLINK a absent
    TYPE absent
    SET s 1
    HSET h f v
    SADD set m
    ZADD z 1 m
    XADD st 1-1 f v
    TYPE s
    TYPE h
    TYPE set
    TYPE z
    TYPE st
    EXISTS st
    EXPIRE st 100
    TTL st
    PERSIST st
    DEL st
    EXISTS st
    EXPIRE s 100
    EXPIRE s 50 GT
    EXPIRE s 200 GT
    TTL s
    EXPIRE s 300 LT
    EXPIRE s 100 NX
    EXPIRE s 100 XX
    EXPIRE s 100 NX XX
    EXPIRE s 100 GT LT
    EXPIRE s 100 BOGUS
    EXPIRE s x
    EXPIRE absent 10
    EXPIRE s -1
    EXISTS s
    SET s 1
    PEXPIRE s 100000
    TTL s
    PEXPIREAT s 1
    EXISTS s
    EXPIREAT h 99999999999
    EXPIRETIME h
    EXPIRE h 9223372036854775807
    TTL absent
    PTTL absent
    PTTL set
    SET r 1 EX 100
    RENAME r r2
    TTL r2
    RENAME absent x
    RENAMENX r2 h
    RENAMENX r2 r3
    KEYS *
    KEYS r?
    KEYS [rs]*
    KEYS none*
    KEYS \\*
    SCAN 0 MATCH r*
    SCAN 0 TYPE hash
    SCAN x
    SCAN 0 COUNT 0
    DBSIZE
    TOUCH h absent
    FLUSHDB BOGUS
    FLUSHDB
    DBSIZE
    RANDOMKEY
    SET only 1
    RANDOMKEY
    FLUSHALL ASYNC
    KEYS *
    DEL
    EXISTS
    TTL
  `,
  hashes: String.raw`
    HSET h a 1 b 2
    HSET h a 3 c 4
    HSET h a
    HGET h a
    HGET h absent
    HGET absent a
    HGETALL h
    HGETALL absent
    HMGET h a absent b
    HMGET absent a
    HKEYS h
    HVALS h
    HLEN h
    HLEN absent
    HEXISTS h a
    HEXISTS h z
    HSTRLEN h a
    HSETNX h a 9
    HSETNX h new 9
    HMSET h x 1 y 2
    HMSET h x
    HINCRBY h a 5
    HINCRBY h n 5
    HINCRBY h a x
    HSET h t text
    HINCRBY h t 1
    HDEL h a b absent
    HDEL absent a
    HSCAN h 0 MATCH x*
    HDEL h c new x y n t
    EXISTS h
    SET s v
    HGET s f
    HSET s f v
    HGETALL s
  `,
  sets: String.raw`
    SADD s a b c
    SADD s a d
    SMEMBERS s
    SMEMBERS absent
    SCARD s
    SISMEMBER s a
    SISMEMBER s z
    SMISMEMBER s a z
    SREM s a z
    SREM absent a
    SADD s2 b c x
    SINTER s s2
    SUNION s s2
    SDIFF s s2
    SINTER s absent
    SADD one m
    SRANDMEMBER one
    SRANDMEMBER one 5
    SRANDMEMBER one -2
    SRANDMEMBER absent
    SRANDMEMBER absent 2
    SPOP one
    SPOP one
    SPOP absent 2
    SPOP s -1
    EXISTS one
    SSCAN s2 0 MATCH x*
    SADD s
    SET str v
    SADD str a
    SMEMBERS str
  `,
  'sorted sets': String.raw`
    ZADD z 1 a 2 b 3 c
    ZADD z 1 a
    ZADD z CH 5 a
    ZADD z NX 9 a 9 d
    ZADD z XX 7 a 7 e
    ZADD z GT CH 6 a
    ZADD z LT CH 6 a
    ZADD z INCR 1.5 a
    ZADD z XX INCR 1 absent
    ZADD z NX XX 1 a
    ZADD z GT LT 1 a
    ZADD z INCR 1 a 2 b
    ZADD z x a
    ZADD z 1
    ZADD z 1 a 2
    ZSCORE z a
    ZSCORE z absent
    ZMSCORE z a absent
    ZCARD z
    ZCOUNT z 2 3
    ZCOUNT z (2 +inf
    ZCOUNT z x 3
    ZINCRBY z 2 a
    ZINCRBY z 2 f
    ZRANGE z 0 -1 WITHSCORES
    ZRANGE z 0 -1 REV
    ZRANGE z 1 2
    ZRANGE z 5 1
    ZRANGE z (2 3 BYSCORE
    ZRANGE z 3 2 BYSCORE REV
    ZRANGE z -inf +inf BYSCORE LIMIT 1 2
    ZRANGE z -inf +inf BYSCORE LIMIT 1 -1
    ZRANGE z 0 -1 LIMIT 0 1
    ZRANGE z x 1
    ZRANGEBYSCORE z 2 3 WITHSCORES
    ZRANGEBYSCORE z 2 +inf LIMIT 0 1
    ZREVRANGE z 0 1 WITHSCORES
    ZREVRANGEBYSCORE z +inf 2
    ZRANK z b
    ZRANK z absent
    ZREVRANK z b
    ZREM z b absent
    ZREMRANGEBYSCORE z -inf (3
    ZREMRANGEBYRANK z 0 0
    ZADD lex 0 a 0 b 0 c
    ZRANGEBYLEX lex [a (c
    ZRANGEBYLEX lex - +
    ZRANGEBYLEX lex x y
    ZRANGE lex - + BYLEX LIMIT 1 1
    ZPOPMIN lex
    ZPOPMAX lex 2
    ZPOPMIN lex
    EXISTS lex
    ZADD e 1.5 a 3 b inf c -inf d 1e20 x 0.5 y
    ZRANGE e 0 -1 WITHSCORES
    SET s v
    ZADD s 1 a
    ZCARD s
    ZSCAN e 0 MATCH a
  `,
  streams: String.raw`
    XADD s 1-1 f v
    XADD s 1-1 f v
    XADD s 0-0 f v
    XADD s 1-* f v
    XADD s 1-* f v
    XADD s 0-* f v
    XADD s 2 f v g w
    XADD s x f v
    XADD s 1-x f v
    XADD s 3-1 f
    XADD s 3-1
    XADD s
    XADD s NOMKSTREAM 3-1 f v
    XADD nos NOMKSTREAM 3-1 f v
    EXISTS nos
    XLEN s
    XLEN absent
    XRANGE s - +
    XRANGE s 1 1
    XRANGE s 1-2 +
    XRANGE s (1-1 +
    XRANGE s - (2
    XRANGE s - + COUNT 2
    XRANGE s - + COUNT 0
    XRANGE s - + COUNT -1
    XRANGE s - + COUNT x
    XRANGE s - + BOGUS 1
    XRANGE s + -
    XRANGE absent - +
    XRANGE s x +
    XRANGE s (18446744073709551615-18446744073709551615 +
    XREVRANGE s + -
    XREVRANGE s + - COUNT 1
    XREVRANGE s 2 1
    XREAD STREAMS s 0
    XREAD STREAMS s 1-1
    XREAD COUNT 1 STREAMS s 0
    XREAD COUNT 0 STREAMS s 1-3
    XREAD COUNT -1 STREAMS s 1-3
    XREAD STREAMS s $
    XREAD STREAMS s absent 0 0
    XREAD STREAMS absent 0
    XREAD STREAMS s absent 0
    XREAD STREAMS s
    XREAD COUNT x STREAMS s 0
    XREAD BLOCK x STREAMS s 0
    XREAD BLOCK -1 STREAMS s 0
    XREAD BLOCK 1 STREAMS s $
    XREAD BOGUS 1 STREAMS s 0
    XREAD STREAMS s x
    XREAD COUNT 1
    XTRIM s MAXLEN 2
    XRANGE s - +
    XTRIM s MAXLEN = 5
    XTRIM s MAXLEN ~ 1
    XTRIM s MAXLEN -1
    XTRIM s MAXLEN x
    XTRIM s MAXLEN 1 LIMIT 1
    XTRIM s MAXLEN ~ 1 LIMIT -1
    XTRIM s MAXLEN ~ 1 LIMIT x
    XTRIM s LIMIT 1
    XTRIM s BOGUS 1
    XTRIM s MAXLEN 1 MINID 1
    XTRIM s MINID 3
    XTRIM s MINID x
    XTRIM absent MAXLEN 1
    XRANGE s - +
    XADD s MAXLEN 1 4-1 f v
    XADD s MAXLEN ~ 1 5-1 f v
    XADD s MINID 5 6-1 f v
    XADD s MAXLEN 1 LIMIT 5 7-1 f v
    XRANGE s - +
    XDEL s 5-1 9-9
    XDEL s x
    XDEL absent 1
    XINFO STREAM absent
    XINFO BOGUS s
    XDEL s 6-1
    XLEN s
    EXISTS s
    XADD s 6-1 f v
    XADD s 6-2 f v
    XTRIM s MAXLEN ~ 0
    XADD s 6-2 f v
    XADD m 18446744073709551615-18446744073709551615 f v
    XADD m * f v
    XADD b 18446744073709551616 f v
    XSETID s 9-9
    XADD s 9-8 f v
    XSETID absent 1-1
    SET str v
    XADD str * f v
    XLEN str
    XRANGE str - +
    XREAD STREAMS str 0
    XTRIM str MAXLEN 1
    GET s
    HGET s f
    INCR s
    SADD s m
    MGET s str
    SET s v GET
    SET s v
    XLEN s
  `,
  transactions: String.raw`
    MULTI
    SET a 1
    INCR a
    XADD s 1-1 f v
    XREAD BLOCK 0 STREAMS absent $
    PING
    HLEN
    EXEC
    MULTI
    SET a 1
    INCR a
    GET a
    XADD s 1-1 f v
    XREAD BLOCK 0 STREAMS absent $
    PING
    INCR s
    MULTI
    EXEC
    EXEC
    MULTI
    SET a 1
    INCR a
    XADD s 2-1 f v
    XREAD BLOCK 0 STREAMS absent $
    PING
    INCR s
    GET a
    EXEC
    DISCARD
    MULTI
    SET a 9
    DISCARD
    GET a
    WATCH a
    SET a 5
    MULTI
    SET a 6
    EXEC
    GET a
    WATCH a
    MULTI
    WATCH b
    EXEC
    WATCH a
    UNWATCH
    MULTI
    SET a 7
    EXEC
    MULTI
    NOSUCH x
    EXEC
    MULTI
    GET
    EXEC
    MULTI
    EXEC
  `,
  scripts: String.raw`
    EVAL "return 1" 0
    EVAL "return 3.99" 0
    EVAL "return 'x'" 0
    EVAL "return {1,2,{3,'a'},nil,4}" 0
    EVAL "return true" 0
    EVAL "return false" 0
    EVAL "return nil" 0
    EVAL "return {KEYS[1], ARGV[1], ARGV[2], #KEYS}" 1 k a "\u00ff"
    EVAL "return redis.call('SET', KEYS[1], ARGV[1])" 1 k v
    EVAL "return redis.call('GET', KEYS[1])" 1 k
    EVAL "return redis.call('GET', 'absent')" 0
    EVAL "if redis.call('GET', 'absent') then return 1 else return 2 end" 0
    EVAL "return redis.call('INCR', KEYS[1])" 1 k
    EVAL "local x = 1\nreturn redis.call('INCR', KEYS[1])" 1 k
    EVAL "return redis.pcall('INCR', KEYS[1])" 1 k
    EVAL "local r = redis.pcall('INCR', KEYS[1]) return r.err" 1 k
    EVAL "return redis.status_reply('FINE')" 0
    EVAL "return redis.error_reply('MY bad')" 0
    EVAL "return {ok='A'}" 0
    EVAL "return {err='B c'}" 0
    EVAL "return redis.call('NOSUCH')" 0
    EVAL "return redis.call('GET')" 0
    EVAL "return redis.call('MULTI')" 0
    EVAL "error('boom')" 0
    EVAL "return tonumber(ARGV[1]) * 1000" 0 1732399999
    EVAL "return ARGV[1] * 1000" 0 1732399999
    EVAL "return tostring(10 / 2)" 0
    EVAL "return 'v' .. (tonumber(ARGV[1]) + 1)" 0 1732399999999
    EVAL "return string.format('%d-%05d', tonumber(ARGV[1]), 7)" 0 1732399999999
    EVAL "return math.floor(tonumber(ARGV[1]) / 1000)" 0 1732399999999
    EVAL "redis.call('SET', 'n', tonumber(ARGV[1])) return redis.call('GET', 'n')" 0 1732399999999
    EVAL "redis.call('XADD', 's', '5-1', 'f', 'v') return redis.call('XRANGE', 's', '-', '+')" 0
    EVAL "return redis.call('XREAD', 'BLOCK', 0, 'STREAMS', 's', '$')" 0
    EVAL "return redis.call('HGETALL', 'absent')" 0
    EVAL "local t = redis.call('TIME') return #t" 0
    EVAL "return redis.call('PTTL', 'k')" 0
    EVAL "return unpack({1,2})" 0
    EVAL "return redis.sha1hex('')" 0
    EVAL "return nosuchglobal" 0
    EVAL "x = 1" 0
    EVAL "return KEYS[1]" 2 a
    EVAL "return 1" -1
    EVAL "return 1" x
    SCRIPT LOAD "return ARGV[1]"
    EVALSHA 098e0f0d1448c0a81dafe820f66d460eb09263da 0 hi
    EVALSHA 0000000000000000000000000000000000000000 0
    SCRIPT EXISTS 098e0f0d1448c0a81dafe820f66d460eb09263da 0000000000000000000000000000000000000000
    SCRIPT FLUSH
    SCRIPT EXISTS 098e0f0d1448c0a81dafe820f66d460eb09263da
  `,
  server: String.raw`
    PING
    PING hi
    ECHO hi
    ECHO
    SELECT 0
    SELECT 99
    SELECT x
    NOSUCH
    NOSUCH a "b c"
    nosuch 1
    DISCARD
    UNWATCH
    WAIT 0 10
    WAIT x 10
    CLIENT SETNAME me
    CLIENT GETNAME
    CLIENT BOGUS
    CONFIG GET maxmemory-policy
    CONFIG GET nosuch
    AUTH wrong
    AUTH default wrong
    AUTH a b c
    HELLO 4
    HELLO x
  `
}

/** Splits a line into words. */
export function words(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? (plain ?? '') : (JSON.parse(`"${quoted}"`) as string)
  )
}
