window.YTD.direct_messages_group.part0 = [
  {
    "dmConversation": {
      "conversationId": "1700000000000000001",
      "messages": [
        {
          "participantsLeave": {
            "userIds": [
              "77"
            ],
            "createdAt": "2026-01-01T00:16:00.016Z"
          }
        },
        {
          "conversationNameUpdate": {
            "initiatingUserId": "42",
            "name": "Waterkering ✔",
            "createdAt": "2026-01-01T00:15:00.015Z"
          }
        },
        {
          "messageCreate": {
            "recipientId": "",
            "reactions": [],
            "urls": [],
            "text": "Ik ga",
            "mediaUrls": [],
            "senderId": "77",
            "id": "303",
            "createdAt": "2026-01-01T00:14:00.014Z",
            "editHistory": []
          }
        },
        {
          "reactionCreate": {
            "senderId": "25401953",
            "reactionKey": "like",
            "eventId": "901",
            "createdAt": "2026-01-01T00:13:00.013Z",
            "messageId": "302"
          }
        },
        {
          "messageCreate": {
            "recipientId": "",
            "reactions": [],
            "urls": [],
            "text": "Welkom",
            "mediaUrls": [],
            "senderId": "42",
            "id": "302",
            "createdAt": "2026-01-01T00:12:00.012Z",
            "editHistory": []
          }
        },
        {
          "participantsJoin": {
            "initiatingUserId": "42",
            "userIds": [
              "77"
            ],
            "createdAt": "2026-01-01T00:11:00.011Z"
          }
        },
        {
          "trustConversation": {
            "requestId": "9",
            "reason": "accept",
            "createdAt": "2026-01-01T00:10:00.010Z",
            "waarde": 3
          }
        },
        {
          "joinConversation": {
            "initiatingUserId": "42",
            "participantsSnapshot": [
              "42",
              "25401953"
            ],
            "createdAt": "2026-01-01T00:09:00.009Z"
          }
        }
      ]
    }
  }
]