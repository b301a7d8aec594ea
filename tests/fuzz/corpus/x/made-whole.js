window.YTD.direct_messages.part0 = [
 {
  "dmConversation": {
   "conversationId": "42-25401953",
   "messages": [
    {
     "messageCreate": {
      "recipientId": "42",
      "reactions": [
       {
        "senderId": "42",
        "reactionKey": "like",
        "eventId": "9",
        "createdAt": "2026-01-01T00:06:00.000Z"
       }
      ],
      "urls": [],
      "text": "tekst",
      "mediaUrls": [
       "https://ton.twitter.com/dm/12/1/foto.jpg?x=1",
       "https://ton.twitter.com/dm/12/2/weg.jpg"
      ],
      "senderId": "25401953",
      "id": "12",
      "createdAt": "2026-01-01T00:05:00.005Z",
      "editHistory": []
     }
    },
    {
     "messageCreate": {
      "recipientId": "42",
      "reactions": [],
      "urls": [],
      "text": "tekst",
      "mediaUrls": [],
      "senderId": "25401953",
      "id": "13",
      "createdAt": "geen tijd",
      "editHistory": []
     }
    },
    7,
    {
     "welcomeMessageCreate": {
      "id": "3",
      "text": "x"
     }
    }
   ]
  }
 }
]window.YTD.direct_messages_group.part0 = [
 {
  "dmConversation": {
   "conversationId": "99",
   "messages": [
    {
     "messageCreate": {
      "recipientId": "42",
      "reactions": [],
      "urls": [],
      "text": "tekst",
      "mediaUrls": [
       "https://ton.twitter.com/dm/34/1/foto.jpg"
      ],
      "senderId": "25401953",
      "id": "34",
      "createdAt": "2026-01-01T00:05:00.005Z",
      "editHistory": []
     }
    },
    {
     "messageCreate": {
      "recipientId": "42",
      "reactions": [],
      "urls": [],
      "text": "tekst",
      "mediaUrls": [],
      "senderId": "25401953",
      "id": "35",
      "createdAt": "2026-01-01T00:05:00.005Z",
      "editHistory": []
     }
    },
    {
     "joinConversation": {
      "initiatingUserId": "42",
      "participantsSnapshot": [
       "1",
       "2"
      ],
      "createdAt": "2026-01-01T00:00:01.000Z"
     }
    },
    {
     "participantsLeave": {
      "userIds": [
       "1"
      ],
      "createdAt": "2026-01-01T00:09:00.000Z"
     }
    },
    {
     "conversationNameUpdate": {
      "initiatingUserId": "2",
      "name": "Dijk",
      "createdAt": "2026-01-01T00:10:00.000Z"
     }
    }
   ]
  }
 }
]ÿØÿ1ÿØÿ2window.YTD.account.part0 = [
 {
  "account": {
   "accountId": "42",
   "username": "anna",
   "accountDisplayName": "Anna",
   "email": "a@voorbeeld.nl"
  }
 }
]