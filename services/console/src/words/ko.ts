import type { Words } from './words.js'

/** Everything that the page says, in Korean. */
export const ko: Words = {
  title: '하나의 비밀 키: 서버를 옮겨 다니는 토큰',
  brand: 'one secret',
  skip: '토큰으로 건너뛰기',
  lead: {
    heading: '토큰 하나로 어느 서버든',
    text: '이 페이지 뒤에는 비밀 키 하나만 공유하는 똑같은 서버들이 있습니다. 그중 한 곳에 로그인하고, 다른 서버들이 그 서명을 믿는 모습을 지켜보세요.'
  },
  nav: {
    label: '목차',
    anatomy: '토큰',
    hops: '이동',
    revocation: '폐기',
    storage: '보관',
    lanes: '네 가지 방식',
    docs: 'API'
  },
  settings: {
    language: '언어',
    theme: '색상',
    themes: { auto: '시스템', light: '밝게', dark: '어둡게' }
  },
  login: {
    heading: '로그인',
    username: '사용자 이름',
    usernameRule: '영문자, 숫자, 점, 붙임표, 밑줄 2~32자. 첫 글자는 영문자나 숫자',
    password: '비밀번호 (15자 이상)',
    lifetime: '토큰 수명',
    lifetimes: { 15: '15초', 60: '1분', 900: '15분' },
    signUp: '가입하고 로그인',
    logIn: '로그인',
    refresh: '새 토큰 받기',
    logOut: '로그아웃',
    note: '여기의 사용자는 한 번 쓰고 버려도 됩니다. 토큰은 이 페이지의 메모리에만 있으므로, 새로 고치면 로그아웃됩니다.',
    nothing: '아직 아무도 로그인하지 않았습니다.',
    loggedIn: '이 서버가 토큰에 서명했고, 다른 서버도 모두 믿습니다.',
    loggedOut: '로그아웃이 끝났습니다. 이제 어느 서버도 이 토큰을 받지 않습니다.',
    expired: '그 뒤에 토큰이 만료되었습니다. 로그아웃하려 해도 새 토큰이 필요합니다.'
  },
  answer: {
    nobody: '응답 없음',
    accepted: '허용',
    refused: '거부',
    balancer: '로드 밸런서',
    notYet: '아직 보내지 않음',
    took: (ms) => `${ms} ms`,
    codes: {
      TOKEN_MISSING: '액세스 토큰이 필요합니다',
      TOKEN_INVALID: '액세스 토큰이 올바르지 않습니다',
      TOKEN_EXPIRED: '액세스 토큰이 만료되었습니다',
      TOKEN_REVOKED: '액세스 토큰이 폐기되었습니다',
      CREDENTIALS_INVALID: '사용자 이름이나 비밀번호가 틀렸습니다',
      REFRESH_TOKEN_MISSING: '리프레시 토큰이 필요합니다',
      REFRESH_TOKEN_INVALID: '리프레시 토큰이 올바르지 않습니다',
      REFRESH_TOKEN_REUSED: '이미 쓴 리프레시 토큰이어서 세션을 끝냈습니다',
      CROSS_SITE_REFUSED: '쿠키로는 이 출처의 페이지만 요청할 수 있습니다',
      SESSION_NOT_FOUND: '당신의 세션 가운데 그런 것은 없습니다',
      SESSION_LIMIT_REACHED: '이 사용자의 세션이 가득 찼습니다. 먼저 하나를 끝내세요',
      USERNAME_TAKEN: '이미 있는 사용자 이름입니다',
      VALIDATION_FAILED: '입력한 값이 규칙에 맞지 않습니다',
      TOO_MANY_LOGINS: '로그인 시도가 너무 많습니다. 잠시 뒤에 다시 하세요',
      LOGIN_LIMIT_UNKNOWN: '지금은 로그인 시도를 셀 수 없어서 받지 않습니다',
      HASHING_BUSY: '확인을 기다리는 비밀번호가 너무 많습니다',
      REVOCATION_UNKNOWN: '토큰이 폐기되었는지 지금은 알아볼 수 없습니다',
      REVOCATION_PENDING: '세션은 끝났지만 아직 모르는 서버가 있습니다. 다시 요청하세요',
      DATABASE_UNAVAILABLE: '지금은 데이터베이스가 응답하지 않습니다',
      OVERLOADED: '이 서버는 지금 할 일이 너무 많습니다. 다시 요청하세요',
      NO_REPLICA: '응답한 서버가 없습니다. 무언가를 바꾸는 요청이었다면 이미 처리되었을 수도 있습니다',
      REPLICAS_UNAVAILABLE: '지금 이 요청을 처리할 수 있는 서버가 없습니다',
      REPLICA_TIMEOUT: '제때 응답한 서버가 없습니다. 무언가를 바꾸는 요청이었다면 이미 처리되었을 수도 있습니다'
    }
  },
  anatomy: {
    heading: '토큰 해부',
    text: '마침표로 나뉜 세 부분이 각각 base64url로 적혀 있습니다. 앞의 둘은 누구나 읽을 수 있고, 셋째는 비밀 키가 있어야만 만들 수 있습니다.',
    tokenLabel: '토큰',
    example: '로그인하기 전에는 예시를 보여 줍니다',
    parts: { header: '헤더', payload: '페이로드', signature: '서명' },
    partsText: {
      header: '어느 키로, 어떻게 서명했는가',
      payload: '무엇을 주장하는가',
      signature: '앞의 두 부분을 비밀 키로 계산한 HMAC-SHA-256'
    },
    kinds: { registered: '등록', public: '공개', private: '비공개' },
    kindsText: {
      registered: 'RFC 7519 §4.1이 뜻을 정한 이름',
      public: 'IANA에 등록되어 누구에게나 같은 이름',
      private: '쓰는 쪽끼리 정한 이름. 여기서는 이 API'
    },
    kindsHeading: '클레임의 세 종류',
    claims: {
      iss: '발급자: 누가 서명했는가',
      aud: '대상: 누가 쓰라고 만든 것인가',
      sub: '주체: 사용자. 아무것도 드러내지 않는 번호',
      sid: '세션: 한 기기에서 한 번의 로그인',
      jti: '이 토큰의 번호. 폐기할 때 쓴다',
      scope: '무엇에 쓸 수 있는가',
      replica: '이 토큰을 발급한 서버',
      iat: '발급 시각',
      exp: '만료 시각'
    },
    header: {
      alg: '서명 방식: SHA-256을 쓰는 HMAC',
      kid: '키 묶음 가운데 어느 키인가',
      typ: '다른 JWT가 아닌 액세스 토큰'
    },
    left: (time) => `${time} 남음`,
    expired: '만료됨',
    ended: '세션이 끝났습니다. 어느 서버도 이 토큰을 받지 않습니다.',
    tamper: {
      heading: '한 글자 바꾸기',
      text: '토큰을 그대로, 또는 한 글자를 바꾸어 보내 보세요. 받은 서버는 아무에게도 묻지 않고 알아냅니다.',
      asIs: '그대로',
      send: '보내기',
      change: '한 글자 바꾸어 보내기',
      letter: (from, to, at) => `${at}번째 글자: ${from} → ${to}`
    },
    thief: {
      heading: '도둑이 알 수 있는 것',
      tells: [
        '이 번호의 사용자가 있다는 것과 언제 로그인했는지',
        '어느 세션인지, 서버의 이름이 무엇인지',
        '언제까지 쓸 수 있는지. 가진 사람이면 누구나 쓸 수 있습니다'
      ],
      tellsNot: '이름, 주소, 비밀번호는 알 수 없습니다. 토큰에 없기 때문입니다.',
      button: '도둑처럼 써 보기',
      text: '쿠키도 비밀번호도 없이 토큰만 보냅니다.',
      accepted: '도둑을 당신으로 알았습니다. 그래서 토큰의 수명은 몇 분이고, 폐기할 수 있어야 합니다.',
      refused: '도둑이 한발 늦었습니다.'
    }
  },
  hops: {
    heading: '이동',
    text: '요청은 매번 다음 서버로 갑니다. 누가 있는지 보려고 이 페이지가 1초마다 보내는 요청도 순서에 들어갑니다. 어느 서버도 당신을 모르지만, 모두 서명을 확인할 수 있습니다.',
    you: '나',
    balancer: '밸런서',
    none: '아직 응답한 서버가 없습니다.',
    picture: (issuer, verifier, refused) =>
      issuer === undefined
        ? '아직 발급된 토큰이 없습니다.'
        : verifier === undefined
          ? `발급: ${issuer}`
          : `발급: ${issuer}, 마지막 ${refused ? '거부' : '확인'}: ${verifier}`,
    issued: '발급',
    verified: '확인',
    silent: (seconds) => `${seconds}초째 조용함`,
    send: '1개 보내기',
    sendMany: '100개 보내기',
    keepSending: '계속 보내기',
    stopSending: '그만 보내기',
    reset: '초기화',
    log: '최근 요청',
    empty: '아직 없습니다. 로그인하거나 하나 보내 보세요.',
    commands: '페이지가 할 수 없는 일',
    commandsText: '‘계속 보내기’를 누르고 아래 명령을 입력해 보세요. 서버가 사라지고 나타나도 실패하는 요청은 없습니다.'
  },
  revocation: {
    heading: '토큰 폐기',
    text: '서명은 만료될 때까지 유효하고, 아무에게도 물을 필요가 없습니다. 그래서 로그아웃은 모든 서버에 전해진 뒤에야 응답합니다. 폐기 목록의 사본을 서버마다 가지고 있습니다.',
    browser: (name) => `브라우저 ${name}`,
    loggedOut: '로그인하지 않음',
    active: '로그인됨',
    ended: '끝남',
    session: '세션',
    logIn: '로그인',
    ask: '나는 누구?',
    logOut: '로그아웃',
    devices: '이 사용자의 기기',
    devicesText: '토큰에는 없는 상태입니다. Postgres에 있습니다.',
    list: '기기 보기',
    noDevices: '로그인하면 볼 수 있습니다.',
    device: (time) => `${time}에 로그인`,
    elsewhere: '다른 로그인',
    current: '요청한 곳',
    end: '끝내기',
    endOf: (session) => `세션 ${session} 끝내기`,
    everywhere: '모든 기기에서 로그아웃',
    watch: '누가 언제부터 거부하는가',
    watchText:
      '로그아웃이 진행되는 동안 페이지는 그 토큰으로 계속 묻습니다. 선은 요청을 보낸 때부터 응답까지입니다. 서버의 거부는 요청이 그 서버에 닿아야 보입니다.',
    watchEmpty: '브라우저에서 로그아웃하면 볼 수 있습니다.',
    answered: '로그아웃 응답',
    accepted: '허용',
    refused: '거부',
    first: (ms) => `${ms} ms에 첫 거부`,
    notYet: '아직 거부하지 않음',
    after: (sent, accepted) => `로그아웃 응답 뒤에 보낸 요청 ${sent}개 중 ${accepted}개가 허용되었습니다.`,
    receipt: '영수증',
    receiptText: '로그아웃의 응답입니다.',
    receiptEmpty: '아직 없습니다.',
    receiptRevoked: '폐기한 것',
    receiptBy: '확인한 서버',
    receiptWaited: '기다린 시간',
    receiptBound: '최대',
    kinds: { jti: '토큰', sid: '세션' }
  },
  storage: {
    heading: '브라우저는 어디에 보관하는가',
    text: '요청과 요청 사이에 토큰은 어딘가에 있어야 합니다. 세 곳에 각각 로그인을 보관하고, 무엇에 살아남고 누가 손댈 수 있는지 시험해 보세요.',
    stores: { cookie: '쿠키 (HttpOnly)', session: '세션 스토리지', local: '로컬 스토리지' },
    storesText: {
      cookie: '브라우저가 보관하고 스스로 보냅니다. 스크립트는 볼 수 없습니다.',
      session: '페이지가 보관하고 보냅니다. 이 탭에 속합니다.',
      local: '페이지가 보관하고 보냅니다. 이 출처(origin)에 속합니다.'
    },
    keep: '로그인해서 보관',
    clear: '로그아웃',
    ask: '묻기',
    kept: '보관 중',
    empty: '비어 있음',
    rows: {
      load: '이번에 열 때 찾은 것',
      reload: '새로 고침에 살아남는가',
      tab: '새 탭에도 있는가',
      restart: '브라우저를 닫아도 남는가',
      script: '스크립트가 읽을 수 있는가',
      site: '다른 사이트가 보내게 할 수 있는가'
    },
    facts: {
      cookie: {
        reload: '예',
        tab: '예',
        restart: 'Max-Age 동안',
        script: '아니요. 그러나 쓸 수는 있음',
        site: '예. 그래서 API가 누가 묻는지 확인함'
      },
      session: { reload: '예', tab: '아니요', restart: '아니요', script: '예', site: '아니요' },
      local: { reload: '예', tab: '예', restart: '예', script: '예', site: '아니요' }
    },
    found: (who) => `있음: ${who}에서 알아봄`,
    foundStale: (code) => `있지만 거부됨: ${code}`,
    foundUnknown: (code) => `알 수 없음: ${code}`,
    foundNothing: '없음',
    loaded: { reload: '이 페이지는 새로 고쳐졌습니다.', new: '이 페이지는 새로 열렸습니다.' },
    reloadNow: '이 페이지 새로 고침',
    newTab: '새 탭에서 열기',
    restartNote: '마지막 것은 브라우저를 닫았다가 다시 열고 여기로 돌아와 확인하세요.',
    notKept: '브라우저가 쿠키를 보관하지 않았습니다. https://나 http://localhost에서만 보관합니다.',
    blocked: '브라우저가 이 페이지에 아무것도 보관하지 못하게 합니다. 사이트 데이터가 차단되어 있습니다.',
    xss: {
      heading: '스크립트가 끼어들면',
      text: '이 페이지의 정책은 그런 스크립트를 들이지 않습니다. 이 버튼은 그 스크립트가 할 일을 대신 해 봅니다.',
      button: '끼어든 스크립트 흉내 내기',
      nothing: '없음',
      sends: {
        yes: (who) => `브라우저가 쿠키를 붙였고, ${who}에서 당신에게 하듯 응답함`,
        no: (code) => `붙일 쿠키가 없음: ${code}`
      },
      empty: '아직 해 보지 않았습니다.'
    },
    csrf: {
      heading: '다른 사이트가 요청하면',
      text: '낯선 페이지(여기서는 샌드박스 안의 페이지)가 당신을 로그아웃시키려고, 당신의 브라우저가 POST /auth/logout을 보내게 합니다.',
      button: '다른 사이트 흉내 내기',
      needsCookie: '먼저 쿠키에 로그인을 보관하세요.',
      empty: '아직 해 보지 않았습니다.',
      sent: '요청을 보냈지만 응답은 읽을 수 없습니다.',
      notSent: (what) => `요청을 보내지 못했습니다: ${what}`,
      stillIn: '여전히 로그인되어 있습니다. 쿠키가 SameSite=Strict라서 브라우저가 붙이지 않았습니다.',
      loggedOut: '로그아웃되었습니다.',
      commandText:
        '같은 호스트의 다른 포트에서 온 페이지라면 브라우저가 쿠키를 붙이고, 오래된 브라우저는 누구에게나 붙입니다. 그래서 API는 Origin과 Sec-Fetch-Site도 보고 403 CROSS_SITE_REFUSED로 답합니다. 페이지는 자신이 다른 페이지라고 속일 수 없지만, curl은 할 수 있습니다.',
      command: '쿠키를 가진 다른 사이트 되어 보기'
    }
  },
  lanes: {
    heading: '네 가지 방식',
    text: '같은 로그인을 네 가지 방식으로 유지하고, 각각에 초당 열 번씩 같은 요청을 보냅니다. 그다음 서버 하나를 죽여 보세요.',
    names: {
      memory: '서버 메모리의 세션',
      sticky: '스티키 세션',
      cluster: 'Redis의 세션',
      jwt: '서명된 토큰'
    },
    notes: {
      memory: '로그인한 그 서버만 당신을 압니다. 다음 서버는 쿠키를 지워 버립니다.',
      sticky: '그 서버가 죽을 때까지 밸런서가 붙잡아 둡니다.',
      cluster: '모든 서버가 요청마다 Redis에 묻습니다.',
      jwt: '모든 서버가 토큰만 보고 당신을 압니다.'
    },
    start: '경주 시작',
    stop: '경주 멈춤',
    missing: '이 방식들에는 서버가 없습니다. 비교가 켜져 있지 않습니다.',
    kill: '경주하는 동안, 메모리에 세션을 두는 서버 하나를 죽여 보세요. 그 서버에 붙은 쪽만 알아챕니다. 아무 일도 없으면 다음 서버를 죽이세요.',
    accepted: '허용',
    refused: '거부',
    perSecond: '(1초 동안)',
    mark: '서버가 사라짐',
    gone: (server) => `${server} 사라짐`,
    back: (server) => `${server} 돌아옴`,
    chart: (name, accepted, refused) => `${name}: 지난 1초 동안 허용 ${accepted}, 거부 ${refused}`,
    notLoggedIn: (code) => `로그인 거부: ${code}`,
    events: '아직 사라진 서버가 없습니다.'
  },
  commands: {
    copy: '복사',
    copied: '복사됨',
    selected: '선택됨',
    tasks: {
      kill: '서버 하나 죽이기',
      revive: '되살리기',
      scale: '여덟 개로 늘리기',
      roll: '하나씩 모두 교체하기',
      compare: '비교 켜기',
      'kill-memory': '하나 죽이기',
      'revive-memory': '되살리기'
    },
    notes: {
      stopFirst: 'npm start라면 먼저 Ctrl+C로 멈추세요.',
      isBack: 'npm start는 1, 2초 안에 다시 띄웁니다.'
    },
    unknown: '첫째는 Docker, 둘째는 npm start용입니다. 밸런서가 어떻게 시작되었는지 알려 주지 않습니다.'
  },
  troubles: {
    label: '문제',
    unreachable: '밸런서조차 응답하지 않습니다. 1초마다 다시 묻습니다.',
    noReplica: '밸런서가 서버를 찾지 못합니다. 1초마다 다시 묻습니다.',
    unavailable: (code) => `서버들이 지금 모든 요청을 처리하지는 못합니다: ${code}. 1초마다 다시 묻습니다.`,
    limited: (seconds) => `로그인 시도가 너무 많습니다. ${seconds}초 뒤에 다시 하세요.`,
    clock: (seconds) =>
      `이 기기의 시계가 밸런서보다 ${Math.abs(seconds)}초 ${seconds > 0 ? '빠릅니다' : '느립니다'}. 시간은 밸런서의 시계로 셉니다.`
  },
  footer: '모든 요청은 이 출처로만 갑니다.'
}
